import type { Database } from "bun:sqlite";
import type { ScratchDatabaseRecord, ScratchDatabases } from "../../scratch-databases.ts";
import type { Do } from "../busy.ts";
import type { Row } from "../tables.ts";

export const ADD: string = `INSERT INTO scratch_databases
  VALUES ($id, $run_id, $server, $name, $oid, $comment, $role, $is_made, $created_at)`;

export class SqliteScratchDatabases implements ScratchDatabases {
  readonly #database: Database;
  readonly #do: Do;

  constructor(database: Database, whileBusy: Do) {
    this.#database = database;
    this.#do = whileBusy;
  }

  add({ is_made, ...record }: ScratchDatabaseRecord): Promise<void> {
    return this.#run("record a scratch database", ADD, { ...record, is_made: Number(is_made) });
  }

  made(id: string, oid: number): Promise<void> {
    const sql = "UPDATE scratch_databases SET oid = $oid, is_made = 1 WHERE id = $id";
    return this.#run("record a scratch database", sql, { id, oid });
  }

  all(): Promise<ScratchDatabaseRecord[]> {
    return this.#do("list the scratch databases", () =>
      this.#database
        .query<Omit<ScratchDatabaseRecord, "is_made"> & { is_made: number }, []>(
          "SELECT * FROM scratch_databases ORDER BY created_at, id",
        )
        .all()
        .map((row) => ({ ...row, is_made: row.is_made === 1 })),
    );
  }

  forget(id: string): Promise<void> {
    return this.#run("forget a scratch database", "DELETE FROM scratch_databases WHERE id = $id", { id });
  }

  #run(doing: string, sql: string, values: Row): Promise<void> {
    return this.#do(doing, () => void this.#database.query<never, Row>(sql).run(values));
  }
}
