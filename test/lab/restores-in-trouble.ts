import type { Sql } from "postgres";

/**
 * A partition without its parent, errors that are ignored and leave a table empty, a session with a lock, a view that depends on an object to be
 * dropped, a trigger whose function is missing, one that takes all rows, and a foreign key of another table.
 */
export async function restoresInTrouble(
  // biome-ignore lint/suspicious/noExplicitAny: tests read it freely.
  json: (...words: string[]) => Promise<any>,
  connect: (database: string) => Sql,
  { source, target }: { source: string; target: string },
): Promise<unknown[]> {
  await connect(source)
    .unsafe(
      `create table whole (i int) partition by list (i); create table part partition of whole default;
       insert into whole values (1);
       create table kept (id int primary key); create table user_of (id int references kept);
       create function touch() returns trigger language plpgsql as 'begin return new; end';
       create trigger touch before update on kept for each row execute function touch()`,
    )
    .simple();
  const [{ backup_id: id }] = (await json("backup")).backups;
  const restore = (...words: string[]) => json("restore", id, "--target", `main/${target}`, ...words);
  const alone = await restore("--into-existing", "--table", "part");
  await connect(target)`alter table part add check (i > 1) not valid`;
  const errors = await restore("--into-existing", "--keep-going");
  await connect(target).unsafe("drop table kept cascade; drop function touch()").simple();
  const table = await restore("--into-existing", "--table", "kept");
  const holder = await connect(target).reserve();
  await holder`begin`;
  await holder`select from part`;
  const ended = await restore("--clean", "--table", "part", "--terminate");
  holder.release();
  await connect(target)
    .unsafe(
      `truncate item; create function swallow() returns trigger language plpgsql as 'begin return null; end';
       create trigger swallow before insert on item for each row execute function swallow()`,
    )
    .simple();
  const empty = await restore("--data-only", "--table", "item");
  await connect(target).unsafe("drop function swallow() cascade");
  await connect(target)`create view in_the_way as select * from part`;
  return [alone, table, errors, ended, empty, await restore("--clean", "--dry-run")];
}
