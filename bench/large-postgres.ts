import postgres from "postgres";
import { leftOut } from "../src/catalog/postgres/migration/latest-backups.ts";
import { FILL_RETAINED } from "../src/catalog/postgres/migration/retained-backups.ts";
import { LATEST_COLUMNS, latestOf } from "../src/catalog/sqlite/migration/latest-backups.ts";
import { PLACES } from "../src/catalog/sqlite/statements.ts";
import type { Shape } from "./catalog-shape.ts";

/** Fills the catalog in a database as `makeCatalog` does a file. The role must be a superuser: triggers are left out. */
export async function fillPostgres(
  url: string,
  firstId: string,
  { backups, databases, servers = 0, secondsApart = 17 * 60 }: Shape,
): Promise<void> {
  const sql = postgres(url, { max: 1, onnotice: () => {} });
  try {
    await sql.unsafe("SET search_path = pg321");
    const columns = async (table: string, change: Record<string, string>) => {
      const found = await sql<{ name: string }[]>`
        SELECT attname AS name FROM pg_attribute
        WHERE attrelid = ${`pg321.${table}`}::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum`;
      return found.map(({ name }) => change[name] ?? `t.${name}`).join(", ");
    };
    const id =
      "format('%s-0000-4000-8000-%s', lpad(to_hex(i * 2654435761 % 4294967296), 8, '0'), lpad(to_hex(i), 12, '0'))";
    const made = {
      id,
      ...(servers > 0 && { server: `'server-' || (i % ${servers})` }),
      database: `'database-' || (i % ${databases})`,
      started_at: `to_char((now() AT TIME ZONE 'UTC') - i * interval '${secondsApart} seconds', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`,
    };
    const numbers = `generate_series(1::bigint, ${backups - 1}) AS n (i)`;
    // Sums of a million records are made at once instead of record by record.
    await sql.unsafe("SET session_replication_role = replica");
    await sql.unsafe(
      `INSERT INTO backups SELECT ${await columns("backups", made)} FROM ${numbers}, backups AS t WHERE t.id = $1`,
      [firstId],
    );
    await sql.unsafe(
      `INSERT INTO copies SELECT ${await columns("copies", { backup_id: id })} FROM ${numbers}, copies AS t WHERE t.backup_id = $1`,
      [firstId],
    );
    await sql.unsafe("SET session_replication_role = origin");
    await sql.unsafe("TRUNCATE copy_totals, stored_months, latest_backups, retained_backups");
    await sql.unsafe(`INSERT INTO copy_totals
      SELECT server, database, storage, count(*), sum(coalesce(copies.object_bytes, 0)), max(started_at)
      FROM copies JOIN backups ON id = backup_id WHERE state = 'CONFIRMED' GROUP BY 1, 2, 3`);
    await sql.unsafe(`INSERT INTO latest_backups (${LATEST_COLUMNS})
      ${latestOf(`(${PLACES})`, leftOut)}`);
    await sql.unsafe(FILL_RETAINED);
    await sql.unsafe("VACUUM ANALYZE");
  } finally {
    await sql.end();
  }
}
