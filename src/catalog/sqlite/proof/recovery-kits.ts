import type { Database } from "bun:sqlite";
import type { RecoveryKitRecord, RecoveryKits, SealedBackups } from "../../recovery-kits.ts";
import type { Do } from "../busy.ts";
import type { Row } from "../tables.ts";

export const LAST_KIT = "SELECT made_at, fingerprint FROM recovery_kits ORDER BY id DESC LIMIT 1";
export const SEALED_BACKUPS = `SELECT recipients, count(*) AS backups, min(started_at) AS first_started_at,
    max(started_at) AS last_started_at
  FROM backups WHERE encryption = 'age' AND status IN ('VERIFIED', 'PARTIAL')
  GROUP BY recipients ORDER BY last_started_at DESC, recipients NULLS FIRST`;

export interface SealedRow extends Omit<SealedBackups, "recipients"> {
  recipients: string | null;
}

export function sealedBackups(row: SealedRow): SealedBackups {
  return { ...row, recipients: row.recipients?.split(" ") ?? null };
}

export class SqliteRecoveryKits implements RecoveryKits {
  readonly #database: Database;
  readonly #do: Do;

  constructor(database: Database, whileBusy: Do) {
    this.#database = database;
    this.#do = whileBusy;
  }

  last(): Promise<RecoveryKitRecord | undefined> {
    return this.#do(
      "read when a recovery kit was made",
      () => this.#database.query<RecoveryKitRecord, []>(LAST_KIT).get() ?? undefined,
    );
  }

  record({ made_at, fingerprint }: RecoveryKitRecord): Promise<void> {
    const sql = "INSERT INTO recovery_kits (made_at, fingerprint) VALUES ($made_at, $fingerprint)";
    return this.#do(
      "note that a recovery kit was made",
      () => void this.#database.query<never, Row>(sql).run({ made_at, fingerprint }),
    );
  }

  sealedBackups(): Promise<SealedBackups[]> {
    return this.#do("read the recipients of the backups", () =>
      this.#database.query<SealedRow, []>(SEALED_BACKUPS).all().map(sealedBackups),
    );
  }
}
