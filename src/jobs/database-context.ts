import { compressionFor, jobsFor, selectionFor, storagesFor } from "../config/database/settings.ts";
import type { JobContext } from "./context.ts";

/** The context of a backup with the settings of its [[database]] tables in place of the general ones. */
export function databaseContext(context: JobContext, server: string, database: string): JobContext {
  const { config, storages } = context;
  const chosen = storagesFor(config, server, database);
  const jobs = jobsFor(config, server, database) ?? config.dump.jobs;
  const hasRows = !selectionFor(config, server, database).schema_only;
  const isUsed = ({ name }: { name: string }) => chosen?.includes(name) ?? true;
  return {
    ...context,
    storages: storages.filter(isUsed),
    config: {
      ...config,
      storage: config.storage.filter(isUsed),
      compression: compressionFor(config, server, database),
      dump: { ...config.dump, jobs: hasRows ? jobs : 1 },
    },
  };
}
