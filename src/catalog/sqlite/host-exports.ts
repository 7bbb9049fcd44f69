import type { Database } from "bun:sqlite";
import type { HostExport, HostExports } from "../host-exports.ts";
import type { Do } from "./busy.ts";
import type { Row } from "./tables.ts";

export const LAST_EXPORT = "SELECT exported_at, fingerprint FROM host_export";
const RECORD = `INSERT INTO host_export VALUES (1, $exported_at, $fingerprint)
  ON CONFLICT DO UPDATE SET exported_at = excluded.exported_at, fingerprint = excluded.fingerprint`;

export class SqliteHostExports implements HostExports {
  readonly #database: Database;
  readonly #do: Do;

  constructor(database: Database, whileBusy: Do) {
    this.#database = database;
    this.#do = whileBusy;
  }

  last(): Promise<HostExport | undefined> {
    return this.#do(
      "read when the files of the host were exported",
      () => this.#database.query<HostExport, []>(LAST_EXPORT).get() ?? undefined,
    );
  }

  record({ exported_at, fingerprint }: HostExport): Promise<void> {
    return this.#do(
      "note that the files of the host were exported",
      () => void this.#database.query<never, Row>(RECORD).run({ exported_at, fingerprint }),
    );
  }
}
