import type { RecoveryKitRecord, RecoveryKits, SealedBackups } from "../../recovery-kits.ts";
import {
  LAST_KIT,
  LAST_KIT_OF,
  RECORD_KIT,
  SEALED_BACKUPS,
  type SealedRow,
  sealedBackups,
} from "../../sqlite/proof/recovery-kits.ts";
import type { Do } from "../transactions.ts";

export class PostgresRecoveryKits implements RecoveryKits {
  readonly #do: Do;

  constructor(transact: Do) {
    this.#do = transact;
  }

  last(host?: string): Promise<RecoveryKitRecord | undefined> {
    const [sql, values] = host === undefined ? [LAST_KIT, {}] : [LAST_KIT_OF, { host }];
    return this.#do(
      "read when a recovery kit was made",
      async ({ rows }) => (await rows<RecoveryKitRecord>(sql, values))[0],
    );
  }

  record({ made_at, fingerprint }: RecoveryKitRecord, host = ""): Promise<void> {
    return this.#do(
      "note that a recovery kit was made",
      async ({ run }) => void (await run(RECORD_KIT, { host, made_at, fingerprint })),
    );
  }

  sealedBackups(): Promise<SealedBackups[]> {
    return this.#do("read the recipients of the backups", async ({ rows }) =>
      (await rows<SealedRow>(SEALED_BACKUPS)).map(sealedBackups),
    );
  }
}
