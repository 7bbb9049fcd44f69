import type { Database } from "bun:sqlite";
import type { RecoveryKitRecord, RecoveryKits, SealedBackups } from "../../recovery-kits.ts";
import type { Do } from "../busy.ts";
import type { Row } from "../tables.ts";

/** On any host; also in a catalog of an older version. */
export const LAST_KIT = "SELECT made_at, fingerprint FROM recovery_kits ORDER BY id DESC LIMIT 1";
export const LAST_KIT_OF = `SELECT made_at, fingerprint FROM recovery_kits WHERE host IN ('', $host)
  ORDER BY host <> $host, id DESC LIMIT 1`;
export const RECORD_KIT = `INSERT INTO recovery_kits (host, made_at, fingerprint)
  VALUES ($host, $made_at, $fingerprint)`;
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

  last(host?: string): Promise<RecoveryKitRecord | undefined> {
    const [sql, values] = host === undefined ? [LAST_KIT, {}] : [LAST_KIT_OF, { host }];
    return this.#do(
      "read when a recovery kit was made",
      () => this.#database.query<RecoveryKitRecord, Row>(sql).get(values) ?? undefined,
    );
  }

  record({ made_at, fingerprint }: RecoveryKitRecord, host = ""): Promise<void> {
    return this.#do(
      "note that a recovery kit was made",
      () => void this.#database.query<never, Row>(RECORD_KIT).run({ host, made_at, fingerprint }),
    );
  }

  sealedBackups(): Promise<SealedBackups[]> {
    return this.#do("read the recipients of the backups", () =>
      this.#database.query<SealedRow, []>(SEALED_BACKUPS).all().map(sealedBackups),
    );
  }
}
