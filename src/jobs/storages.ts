import { archiveNames, storagesFor } from "../config/database/settings.ts";
import type { Storage } from "../storage/storage.ts";
import type { JobContext } from "./context.ts";

/** The storages that backups go to, all except archives; those of one database, if it is given. */
export function backupStorages(
  { config, storages }: Pick<JobContext, "config" | "storages">,
  of?: { server: string; database: string },
): Storage[] {
  const archives = archiveNames(config);
  const chosen = of && storagesFor(config, of.server, of.database);
  return storages.filter(({ name }) => !archives.includes(name) && (chosen?.includes(name) ?? true));
}

/** The configured storage with this name. */
export function storageNamed(context: Pick<JobContext, "storages">, name: string): Storage | undefined {
  return context.storages.find((storage) => storage.name === name);
}
