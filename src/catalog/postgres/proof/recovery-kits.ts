import type { RecoveryKitRecord, RecoveryKits, SealedBackups } from "../../recovery-kits.ts";
import { LAST_KIT, SEALED_BACKUPS, type SealedRow, sealedBackups } from "../../sqlite/proof/recovery-kits.ts";
import type { Do } from "../transactions.ts";

export class PostgresRecoveryKits implements RecoveryKits {
  readonly #do: Do;

  constructor(transact: Do) {
    this.#do = transact;
  }

  last(): Promise<RecoveryKitRecord | undefined> {
    return this.#do(
      "read when a recovery kit was made",
      async ({ rows }) => (await rows<RecoveryKitRecord>(LAST_KIT))[0],
    );
  }

  record({ made_at, fingerprint }: RecoveryKitRecord): Promise<void> {
    const sql = "INSERT INTO recovery_kits (made_at, fingerprint) VALUES ($made_at, $fingerprint)";
    return this.#do(
      "note that a recovery kit was made",
      async ({ run }) => void (await run(sql, { made_at, fingerprint })),
    );
  }

  sealedBackups(): Promise<SealedBackups[]> {
    return this.#do("read the recipients of the backups", async ({ rows }) =>
      (await rows<SealedRow>(SEALED_BACKUPS)).map(sealedBackups),
    );
  }
}
