import type { Database } from "bun:sqlite";
import type { LockProbes } from "../../lock-probes.ts";
import type { LockProbeRecord } from "../../records.ts";
import type { Do } from "../busy.ts";
import { insertion } from "../statements.ts";
import type { Row } from "../tables.ts";
import { fromRow, LOCK_PROBES, toRow } from "../tables.ts";

export const LATEST_PROBES = `SELECT * FROM lock_probes WHERE id IN (SELECT id FROM (
    SELECT id, row_number() OVER (PARTITION BY storage ORDER BY probed_at DESC, id DESC) AS place
    FROM lock_probes WHERE finished_at IS NOT NULL) AS ranked WHERE place = 1)
  ORDER BY storage`;

export class SqliteLockProbes implements LockProbes {
  readonly #database: Database;
  readonly #do: Do;

  constructor(database: Database, whileBusy: Do) {
    this.#database = database;
    this.#do = whileBusy;
  }

  add(record: LockProbeRecord): Promise<void> {
    const [sql, row] = insertion("INSERT", LOCK_PROBES, record);
    return this.#do("record a probe", () => void this.#database.query<never, Row>(sql).run(row));
  }

  update(id: string, change: Partial<Omit<LockProbeRecord, "id">>): Promise<void> {
    const row = toRow<LockProbeRecord>(LOCK_PROBES, change);
    const set = Object.keys(row).map((column) => `${column} = $${column}`);
    const sql = `UPDATE lock_probes SET ${set.join(", ")} WHERE id = $id`;
    return this.#do("update a probe", () => void this.#database.query<never, Row>(sql).run({ ...row, id }));
  }

  latest(): Promise<LockProbeRecord[]> {
    return this.#select(LATEST_PROBES);
  }

  standing(): Promise<LockProbeRecord[]> {
    return this.#select("SELECT * FROM lock_probes WHERE removed_at IS NULL ORDER BY probed_at, id");
  }

  #select(sql: string): Promise<LockProbeRecord[]> {
    return this.#do("list the probes", () =>
      this.#database
        .query<Row, []>(sql)
        .all()
        .map((row) => fromRow(LOCK_PROBES, row)),
    );
  }
}
