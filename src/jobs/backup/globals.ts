import { GLOBALS_DATABASE } from "../../catalog/globals.ts";
import type { ServerConfig } from "../../config/config.ts";
import { pgDumpallFor } from "../../postgres/binaries.ts";
import { connect, endpointOf } from "../../postgres/connection.ts";
import { dumpGlobals, globalsFacts, passwordsStatement } from "../../postgres/globals/dump-globals.ts";
import { inspectServer } from "../../postgres/inspect.ts";
import type { JobContext } from "../context.ts";
import type { DumpSource } from "./dump-source.ts";
import type { Target } from "./targets.ts";

/** Adds the globals of every server that has a database among the targets, before its first database. */
export function withGlobals(targets: readonly Target[]): Target[] {
  const seen = new Set<string>();
  return targets.flatMap((target): Target[] => {
    const { server } = target;
    if (seen.has(server.name) || !server.globals) return [target];
    seen.add(server.name);
    return [{ server, database: GLOBALS_DATABASE, kind: "globals" }, target];
  });
}

/** Connects, looks at the roles and finds a matching pg_dumpall. Throws code `database`. */
export async function prepareGlobals(context: JobContext, server: ServerConfig): Promise<DumpSource> {
  const { config, log } = context;
  const endpoint = endpointOf(server);
  await using connection = await connect(endpoint);
  const { version, major } = await inspectServer(connection);
  const facts = await globalsFacts(connection);
  const binary = await pgDumpallFor(major, server.bin_dir);
  if (!facts.passwords)
    log.info("the globals are backed up without the passwords of roles: the role cannot read pg_authid", {
      server: server.name,
      role: server.user,
      hint: `to include them, run in psql as a superuser, in database "${endpoint.database}": ${passwordsStatement(server)}`,
    });
  let stderrTail = "";
  return {
    serverVersion: version,
    pgDumpVersion: binary.version,
    databaseBytes: 0,
    recorded: { facts },
    open: async (blocks, signal) => {
      const bytes = dumpGlobals({
        ...config.dump,
        ...{ endpoint, binary, blocks, signal, passwords: facts.passwords, tempDir: config.temp_dir },
        onExit: (end) => {
          stderrTail = end.stderrTail;
        },
      });
      return { isContainer: false, bytes };
    },
    stderrTail: () => stderrTail,
    facts: async () => undefined,
    [Symbol.asyncDispose]: async () => {},
  };
}
