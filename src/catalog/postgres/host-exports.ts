import type { HostExport, HostExports } from "../host-exports.ts";
import { LAST_EXPORT } from "../sqlite/host-exports.ts";
import type { Do } from "./transactions.ts";

const RECORD = `INSERT INTO host_export VALUES (1, $exported_at, $fingerprint)
  ON CONFLICT (single) DO UPDATE SET exported_at = excluded.exported_at, fingerprint = excluded.fingerprint`;

export class PostgresHostExports implements HostExports {
  readonly #do: Do;

  constructor(transact: Do) {
    this.#do = transact;
  }

  last(): Promise<HostExport | undefined> {
    return this.#do(
      "read when the files of the host were exported",
      async ({ rows }) => (await rows<HostExport>(LAST_EXPORT))[0],
    );
  }

  record({ exported_at, fingerprint }: HostExport): Promise<void> {
    return this.#do(
      "note that the files of the host were exported",
      async ({ run }) => void (await run(RECORD, { exported_at, fingerprint })),
    );
  }
}
