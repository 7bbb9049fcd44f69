import type { Config } from "../../config/config.ts";
import type { Connection } from "../../postgres/connection.ts";
import { hostOf } from "../../postgres/connection.ts";
import type { DumpFacts } from "../../postgres/counts/facts.ts";
import { systemIdentifier } from "../../postgres/system-identifier.ts";
import type { Obstacle, RestoreRequest } from "./report.ts";

type Asked = Pick<RestoreRequest, "backup" | "target" | "create"> & { facts: DumpFacts | undefined };

/**
 * Whether the target is the very database that was backed up: same name, on the same server by its system identifier.
 * If that was not recorded, or cannot be read, by the address of the server in the config.
 */
export async function isSource(
  connection: Connection,
  { server: servers }: Pick<Config, "server">,
  { backup, target, create, facts }: Asked,
): Promise<boolean> {
  if (create || target.database !== backup.database) return false;
  const recorded = facts?.moment?.system_identifier;
  const found = recorded === undefined ? undefined : await systemIdentifier(connection);
  if (recorded !== undefined && found !== undefined) return recorded === found;
  const source = servers.find(({ name }) => name === backup.server);
  return source !== undefined && source.port === target.port && hostOf(source) === hostOf(target);
}

type Choice = Pick<
  RestoreRequest,
  "target" | "clean" | "intoExisting" | "keepGoing" | "intoSource" | "selection"
>;

/**
 * Prevents a restore that would replace the contents of the source, or add its rows a second time. Adding something that
 * was dropped destroys nothing.
 */
export function sourceObstacles(
  { target, clean, intoExisting, keepGoing, intoSource, selection }: Choice,
  isSource: boolean,
): Obstacle[] {
  const addsRows = intoExisting && (keepGoing || selection.only === "data");
  if (!isSource || intoSource || !(clean || addsRows)) return [];
  const harm = clean ? "what it holds now would be replaced" : "rows would be added a second time";
  return [
    {
      kind: "source",
      message: `${target.label}: database "${target.database}" is the one that was backed up, and ${harm}; nothing was changed`,
      hint: "restore into a new database with --create, or add --into-source if that is what you want",
    },
  ];
}
