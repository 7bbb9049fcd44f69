import type { Sql } from "postgres";

/**
 * Notes the writes about backups whose transactions do not look at a lease. Returns what takes the notes, as
 * `table operation columns`.
 */
export async function noteUnfencedWrites(sql: Sql): Promise<() => Promise<string[]>> {
  await sql.unsafe(`
    create table public.unfenced_writes (what text);
    create function public.note_unfenced() returns trigger language plpgsql as $$
    begin
      -- FOR SHARE takes this lock on the table, too.
      if exists (select from pg_locks where pid = pg_backend_pid() and mode = 'RowShareLock'
                 and relation = 'pg321.leases'::regclass) then return null; end if;
      insert into public.unfenced_writes
      select concat_ws(' ', tg_table_name, lower(tg_op), string_agg(key, ',' order by key))
      from jsonb_each(case tg_op when 'UPDATE' then to_jsonb(new) else '{}' end)
      where to_jsonb(old)->key is distinct from value;
      return null;
    end $$;`);
  for (const table of ["backups", "copies", "restore_tests"])
    await sql.unsafe(`create trigger note_unfenced after insert or update or delete on pg321.${table}
      for each row execute function public.note_unfenced()`);
  return async () =>
    (await sql<{ what: string }[]>`delete from public.unfenced_writes returning what`).map(
      ({ what }) => what,
    );
}
