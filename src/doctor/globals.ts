import type { ServerConfig } from "../config/config.ts";
import { pgDumpallFor } from "../postgres/binaries.ts";
import type { Connection } from "../postgres/connection.ts";
import { canReadPasswords, passwordsStatement } from "../postgres/globals/dump-globals.ts";
import type { ServerFacts } from "../postgres/inspect.ts";
import type { Seen } from "./finding.ts";
import { ok, seenOf, warning } from "./finding.ts";

/** Whether the globals of a server can be backed up, and with passwords. */
export async function lookAtGlobals(
  connection: Connection,
  { major }: ServerFacts,
  server: ServerConfig,
): Promise<Seen[]> {
  const seen: Seen[] = [];
  try {
    const { path, version } = await pgDumpallFor(major, server.bin_dir);
    seen.push(ok(`pg_dumpall ${version} (${path})`));
  } catch (error) {
    seen.push(seenOf(error, server.name, "database"));
  }
  if (await canReadPasswords(connection)) return [...seen, ok("can read the passwords of roles")];
  const { user, database } = connection.endpoint;
  return [
    ...seen,
    warning(
      `"${user}" cannot read pg_authid, so the globals are backed up without the passwords of roles`,
      `in psql as a superuser, in database "${database}": ${passwordsStatement({ user })}`,
    ),
  ];
}
