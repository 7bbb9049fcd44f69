import { stat } from "node:fs/promises";
import { placeAt } from "../../base/files/place.ts";
import type { Config, LocalStorageConfig } from "../../config/config.ts";
import type { Connection } from "../../postgres/connection.ts";
import { hostOf } from "../../postgres/connection.ts";
import { inspectServer } from "../../postgres/inspect.ts";
import type { JobContext } from "../context.ts";

/** A disk that has not told its device by then is not waited for: databases wait behind this look. */
const DEVICE_MS_MAX = 5_000;

/** A full disk under PGDATA stops PostgreSQL, and a lost one takes the database and its backups together. */
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

/** The local storages on the device of the server's data, as far as that can be seen from here. */
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

/** Undefined when it cannot be seen, also because its disk does not answer: that is for others to tell. */
async function deviceOf(path: string): Promise<number | undefined> {
  const call = { what: path, limitMs: DEVICE_MS_MAX };
  return (
    await placeAt(path)
      .run(call, () => stat(path))
      .catch(() => undefined)
  )?.dev;
}
