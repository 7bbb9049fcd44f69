import { stat } from "node:fs/promises";
import type { Connection } from "../postgres/connection.ts";
import { hostOf } from "../postgres/connection.ts";
import { inspectServer } from "../postgres/inspect.ts";
import type { JobContext } from "./context.ts";

/** A full disk under PGDATA stops PostgreSQL, and a lost one takes the database and its backups together. */
export async function warnOfSharedDevice(
  { config, log }: Pick<JobContext, "config" | "log">,
  connection: Connection,
): Promise<void> {
  const { endpoint } = connection;
  const host = hostOf(endpoint);
  const isLocal = host.startsWith("/") || host === "localhost" || host === "127.0.0.1" || host === "::1";
  if (!isLocal) return;
  const { dataDirectory } = await inspectServer(connection);
  const dataDevice = dataDirectory === undefined ? undefined : await deviceOf(dataDirectory);
  if (dataDevice === undefined) return;
  for (const storage of config.storage) {
    if (storage.type !== "local" || (await deviceOf(storage.path)) !== dataDevice) continue;
    log.warning("a local storage is on the same device as the server's data directory", {
      storage: storage.name,
      path: storage.path,
      server: endpoint.label,
    });
  }
}

/** Undefined when it cannot be seen. */
async function deviceOf(path: string): Promise<number | undefined> {
  return (await stat(path).catch(() => undefined))?.dev;
}
