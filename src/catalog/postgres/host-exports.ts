import type { HostExport, HostExports } from "../host-exports.ts";
import { LAST_EXPORT, LAST_EXPORT_OF, RECORD_EXPORT } from "../sqlite/host-exports.ts";
import type { Do } from "./transactions.ts";

export class PostgresHostExports implements HostExports {
  readonly #do: Do;

  constructor(transact: Do) {
    this.#do = transact;
  }

  last(host?: string): Promise<HostExport | undefined> {
    const [sql, values] = host === undefined ? [LAST_EXPORT, {}] : [LAST_EXPORT_OF, { host }];
    return this.#do(
      "read when the files of the host were exported",
      async ({ rows }) => (await rows<HostExport>(sql, values))[0],
    );
  }

  record({ exported_at, fingerprint }: HostExport, host = ""): Promise<void> {
    return this.#do(
      "note that the files of the host were exported",
      async ({ run }) => void (await run(RECORD_EXPORT, { host, exported_at, fingerprint })),
    );
  }
}
