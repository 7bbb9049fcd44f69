import { stat } from "node:fs/promises";
import { raiseAlert } from "../../alerts/alert.ts";
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
 * backups. It warns once, and again only of further storages: the event in the catalog says what it has warned of.
 */
export async function warnOfSharedDevice(
  context: JobContext,
  server: string,
  connection: Connection,
): Promise<void> {
  const storages = (await storagesOnDevice(context.config, connection)).map(({ name }) => name).sort();
  const key = `same device ${server}`;
  const [last] = await context.catalog.alerts({ key, limit: 1 });
  const known = last?.metadata["storages"];
  const told: readonly unknown[] = Array.isArray(known) ? known : [];
  if (JSON.stringify(told) === JSON.stringify(storages)) return;
  const names = storages.join(", ");
  const message =
    storages.length === 0
      ? `no local storage is on the device of server ${server}'s data directory any more`
      : `local storages on the device of server ${server}'s data directory: ${names}`;
  const about = { job: "backup", run_id: null, server, database: null } as const;
  await raiseAlert(context, { ...about, level: "INFO", key, message, metadata: { storages }, isQuiet: true });
  if (storages.some((name) => !told.includes(name)))
    context.log.warning("a local storage is on the same device as the server's data directory", {
      storage: names,
      server,
      hint: "one broken disk destroys both, and a full one stops the server: put the storage on a separate disk",
    });
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
