import type { BackupRecord } from "../catalog/catalog.ts";
import type { AlertContext } from "./alert.ts";
import { raiseAlert, resolveAlert } from "./alert.ts";

/** What the alert about a dump that shrank says in its metadata. */
export type ShrinkMetadata = Record<string, unknown> & {
  backup_id: string;
  dump_bytes: number;
  /** The median that the dumps had before. */
  usual_bytes: number;
  /** When the first dump that was too small began: the good ones from before are worth keeping. */
  shrunk_at: string;
};

/** So many good dumps from before tell what is usual. */
const LOOKED_AT = 5;

/**
 * Raises an alert when a good dump is much smaller than the ones before it: a database that was emptied dumps
 * without any error. Later dumps are compared with what was usual before the first small one, until somebody
 * acknowledges the alert: then the new size is the usual one.
 */
export async function alertIfShrunk(context: AlertContext, backup: BackupRecord): Promise<void> {
  const { catalog, config } = context;
  const { id: backup_id, server, database, dump_bytes, started_at, run_id } = backup;
  const percent = config.guard.shrunk_percent;
  if (percent === 0 || dump_bytes === null) return;
  const key = `shrunk ${server}/${database}`;
  const [last] = await catalog.alerts({ key, limit: 1 });
  const known = last?.metadata as ShrinkMetadata | undefined;
  const isAccepted = typeof last?.acknowledged_at === "string";
  const isOpen = last?.resolved_at === null;
  if (isOpen && isAccepted) await resolveAlert(context, key);
  const since = isAccepted ? known?.shrunk_at : undefined;
  const open = isOpen && !isAccepted ? known : undefined;
  const usual_bytes = open?.usual_bytes ?? (await usualBytes(context, backup, since));
  if (usual_bytes === undefined) return;
  if (dump_bytes * 100 >= usual_bytes * percent) return resolveAlert(context, key);
  const share = Math.round((dump_bytes / usual_bytes) * 100);
  const metadata: ShrinkMetadata = {
    backup_id,
    dump_bytes,
    usual_bytes,
    shrunk_at: open?.shrunk_at ?? started_at,
    hint: "look whether data is missing; if it is meant to be so small now, acknowledge this alert",
  };
  await raiseAlert(context, {
    level: "WARNING",
    job: "backup",
    run_id,
    server,
    database,
    key,
    message: `the dump of ${server}/${database} has shrunk to ${share} % of what is usual`,
    metadata,
  });
}

/** The median of the last good dumps before this one; undefined where there are none. */
async function usualBytes(
  { catalog }: AlertContext,
  { id, server, database, kind, started_at }: BackupRecord,
  since = "",
): Promise<number | undefined> {
  const good = await catalog.backups({ server, database, status: ["VERIFIED", "PARTIAL"] });
  const sizes = good
    .filter((other) => other.id !== id && other.kind === kind && other.started_at >= since)
    .filter((other) => other.started_at < started_at)
    .flatMap(({ dump_bytes }) => (dump_bytes === null ? [] : [dump_bytes]))
    .slice(0, LOOKED_AT)
    .sort((a, b) => a - b);
  return sizes[Math.floor((sizes.length - 1) / 2)];
}
