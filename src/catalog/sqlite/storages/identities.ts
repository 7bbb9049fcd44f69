import type { Database } from "bun:sqlite";
import type { Identities, Renaming, StorageIdentity } from "../../storages/identities.ts";
import type { Row } from "../tables.ts";

type Do = <T>(doing: string, operation: () => T) => Promise<T>;

export const INTEND: string =
  "INSERT INTO storage_identities VALUES ($name, $storage_id, NULL, NULL) ON CONFLICT DO NOTHING";
export const CONFIRM: string = "INSERT INTO storage_identities VALUES ($name, $storage_id, $at, $place)";
export const KNOWN: string = "SELECT * FROM storage_identities";
export const NEWEST_KEYS: string = `SELECT object_key FROM backups WHERE EXISTS (
    SELECT 1 FROM copies WHERE backup_id = backups.id AND storage = $storage AND state = 'CONFIRMED')
  ORDER BY started_at DESC, id DESC LIMIT $limit`;

/** If both names have a copy of a backup, the confirmed one is kept; if both are confirmed, that of the new name. */
export const RENAME: readonly string[] = [
  `DELETE FROM copies WHERE storage = $to AND state <> 'CONFIRMED'
    AND backup_id IN (SELECT backup_id FROM copies WHERE storage = $from)`,
  "DELETE FROM copies WHERE storage = $from AND backup_id IN (SELECT backup_id FROM copies WHERE storage = $to)",
  "UPDATE copies SET storage = $to WHERE storage = $from",
  "DELETE FROM copy_totals WHERE storage IN ($from, $to)",
  `INSERT INTO copy_totals
    SELECT server, database, storage, count(*), sum(coalesce(copies.object_bytes, 0)), max(started_at)
    FROM copies JOIN backups ON backups.id = copies.backup_id
    WHERE state = 'CONFIRMED' AND storage = $to GROUP BY server, database, storage`,
  "DELETE FROM storages WHERE name = $to AND EXISTS (SELECT 1 FROM storages WHERE name = $from)",
  "UPDATE storages SET name = $to WHERE name = $from",
  "DELETE FROM storage_identities WHERE name = $to AND EXISTS (SELECT 1 FROM storage_identities WHERE name = $from)",
  "UPDATE storage_identities SET name = $to WHERE name = $from",
];

/** The part of the SQLite catalog about the identities of storages. */
export class SqliteIdentities implements Identities {
  readonly #database: Database;
  readonly #do: Do;

  constructor(database: Database, whileBusy: Do) {
    this.#database = database;
    this.#do = whileBusy;
  }

  all(): Promise<StorageIdentity[]> {
    return this.#do("read the identities of storages", () => this.#rows(`${KNOWN} ORDER BY name`, {}));
  }

  intend(name: string, storage_id: string): Promise<StorageIdentity> {
    return this.#do("store the identity of a storage", () => {
      this.#run(INTEND, { name, storage_id });
      const [known] = this.#rows<StorageIdentity>(`${KNOWN} WHERE name = $name`, { name });
      if (!known) throw new Error(`the id ${storage_id} belongs to another storage`);
      return known;
    });
  }

  confirm(name: string, storage_id: string, at: string, place: string | null): Promise<void> {
    const confirm = this.#database.transaction(() => {
      const values = { name, storage_id };
      this.#run("DELETE FROM storage_identities WHERE name = $name OR storage_id = $storage_id", values);
      this.#run(CONFIRM, { ...values, at, place });
    });
    return this.#do("store the identity of a storage", () => confirm.immediate());
  }

  rename(pairs: readonly Renaming[]): Promise<void> {
    // Two storages may have swapped their names, so each leaves its old name first.
    const between = (to: string) => `renamed to ${to}`;
    const rename = this.#database.transaction(() => {
      for (const { from, to } of pairs) this.#rename(from, between(to));
      for (const { to } of pairs) this.#rename(between(to), to);
    });
    return this.#do("rename a storage", () => rename.immediate());
  }

  newestKeys(storage: string, limit: number): Promise<string[]> {
    return this.#do("read copies", () =>
      this.#rows<{ object_key: string }>(NEWEST_KEYS, { storage, limit }).map(({ object_key }) => object_key),
    );
  }

  #rename(from: string, to: string): void {
    for (const sql of RENAME) this.#database.query<never, Row>(sql).run(pick(sql, { from, to }));
  }

  #run(sql: string, values: Row): void {
    this.#database.query<never, Row>(sql).run(values);
  }

  #rows<R>(sql: string, values: Row): R[] {
    return this.#database.query<Row, Row>(sql).all(values) as R[];
  }
}

/** SQLite refuses values that a statement does not name. */
function pick(sql: string, values: Record<string, string>): Row {
  return Object.fromEntries(Object.entries(values).filter(([name]) => sql.includes(`$${name}`)));
}
