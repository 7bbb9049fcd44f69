import type { Storage } from "../storage/storage.ts";
import type { JobContext } from "./context.ts";

/** The storages that every backup goes to: all except archives. */
export function backupStorages({ config, storages }: Pick<JobContext, "config" | "storages">): Storage[] {
  const archives = config.storage.flatMap(({ expire }) =>
    typeof expire === "object" ? expire.archive_to : [],
  );
  return storages.filter(({ name }) => !archives.includes(name));
}

/** The configured storage with this name. */
export function storageNamed(context: Pick<JobContext, "storages">, name: string): Storage | undefined {
  return context.storages.find((storage) => storage.name === name);
}
