import { stat } from "node:fs/promises";
import { placeAt } from "../../base/files/place.ts";
import type { Config, LocalStorageConfig } from "../../config/config.ts";
import type { Connection } from "../../postgres/connection.ts";
import { hostOf } from "../../postgres/connection.ts";
import { inspectServer } from "../../postgres/inspect.ts";
import type { JobContext } from "../context.ts";

/** Time limit for asking a disk for its device: databases wait for this check. */
const DEVICE_MS_MAX = 5_000;

/**
 * Warns of storages beside PGDATA: a full disk stops PostgreSQL, and a broken one destroys the database and its
 * backups.
 */
export async function warnOfSharedDevice(
  { config, log }: Pick<JobContext, "config" | "log">,
  server: string,
  connection: Connection,
): Promise<void> {
  for (const { name, path } of await storagesOnDevice(config, connection)) {
    log.warning("a local storage is on the same device as the server's data directory", {
      storage: name,
      path,
      server,
    });
  }
}

/** The local storages on the same device as the server's data, as far as this host can see. */
export async function storagesOnDevice(
  config: Pick<Config, "storage">,
  connection: Connection,
): Promise<LocalStorageConfig[]> {
  const host = hostOf(connection.endpoint);
  const isLocal = host.startsWith("/") || host === "localhost" || host === "127.0.0.1" || host === "::1";
  if (!isLocal) return [];
  const { dataDirectory } = await inspectServer(connection);
  const dataDevice = dataDirectory === undefined ? undefined : await deviceOf(dataDirectory);
  if (dataDevice === undefined) return [];
  const storages = config.storage.filter((storage) => storage.type === "local");
  const devices = await Promise.all(storages.map(({ path }) => deviceOf(path)));
  return storages.filter((_, index) => devices[index] === dataDevice);
}

/** Undefined if it cannot be determined, for example because the disk does not answer; other checks report that. */
async function deviceOf(path: string): Promise<number | undefined> {
  const call = { what: path, limitMs: DEVICE_MS_MAX };
  return (
    await placeAt(path)
      .run(call, () => stat(path))
      .catch(() => undefined)
  )?.dev;
}
