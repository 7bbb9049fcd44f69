import type { Database } from "bun:sqlite";
import type { HostExport, HostExports } from "../host-exports.ts";
import type { Do } from "./busy.ts";
import type { Row } from "./tables.ts";

/** Of any host; also in a catalog of an older version. */
export const LAST_EXPORT =
  "SELECT exported_at, fingerprint FROM host_export ORDER BY exported_at DESC LIMIT 1";
export const LAST_EXPORT_OF = `SELECT exported_at, fingerprint FROM host_export WHERE host IN ('', $host)
  ORDER BY host <> $host LIMIT 1`;
export const RECORD_EXPORT = `INSERT INTO host_export (host, exported_at, fingerprint)
  VALUES ($host, $exported_at, $fingerprint)
  ON CONFLICT (host) DO UPDATE SET exported_at = excluded.exported_at, fingerprint = excluded.fingerprint`;

export class SqliteHostExports implements HostExports {
  readonly #database: Database;
  readonly #do: Do;

  constructor(database: Database, whileBusy: Do) {
    this.#database = database;
    this.#do = whileBusy;
  }

  last(host?: string): Promise<HostExport | undefined> {
    const [sql, values] = host === undefined ? [LAST_EXPORT, {}] : [LAST_EXPORT_OF, { host }];
    return this.#do(
      "read when the files of the host were exported",
      () => this.#database.query<HostExport, Row>(sql).get(values) ?? undefined,
    );
  }

  record({ exported_at, fingerprint }: HostExport, host = ""): Promise<void> {
    return this.#do(
      "note that the files of the host were exported",
      () => void this.#database.query<never, Row>(RECORD_EXPORT).run({ host, exported_at, fingerprint }),
    );
  }
}
