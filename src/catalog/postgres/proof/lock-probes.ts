import type { LockProbes } from "../../lock-probes.ts";
import type { LockProbeRecord } from "../../records.ts";
import { LATEST_PROBES } from "../../sqlite/proof/lock-probes.ts";
import { insertion } from "../../sqlite/statements.ts";
import { fromRow, LOCK_PROBES, toRow } from "../../sqlite/tables.ts";
import type { Do } from "../transactions.ts";

export class PostgresLockProbes implements LockProbes {
  readonly #do: Do;

  constructor(transact: Do) {
    this.#do = transact;
  }

  add(record: LockProbeRecord): Promise<void> {
    const statement = insertion("INSERT", LOCK_PROBES, record);
    return this.#do("record a probe", async ({ run }) => void (await run(...statement)));
  }

  update(id: string, change: Partial<Omit<LockProbeRecord, "id">>): Promise<void> {
    const row = toRow<LockProbeRecord>(LOCK_PROBES, change);
    const set = Object.keys(row).map((column) => `${column} = $${column}`);
    const sql = `UPDATE lock_probes SET ${set.join(", ")} WHERE id = $id`;
    return this.#do("update a probe", async ({ run }) => void (await run(sql, { ...row, id })));
  }

  latest(): Promise<LockProbeRecord[]> {
    return this.#select(LATEST_PROBES);
  }

  standing(): Promise<LockProbeRecord[]> {
    return this.#select("SELECT * FROM lock_probes WHERE removed_at IS NULL ORDER BY probed_at, id");
  }

  #select(sql: string): Promise<LockProbeRecord[]> {
    return this.#do("list the probes", async ({ rows }) =>
      (await rows(sql)).map((row) => fromRow(LOCK_PROBES, row)),
    );
  }
}
