import { isAhead, newestOf } from "../base/newest-good.ts";
import type { BackupRecord } from "../catalog/records.ts";
import { leftOutOf } from "../postgres/counts/left-out.ts";
import { raiseAlert, resolveAlert } from "./alert.ts";
import type { AlertContext } from "./alert-context.ts";

/** The metadata of the alert about a dump that shrank. */
export type ShrinkMetadata = Record<string, unknown> & {
  backup_id: string;
  dump_bytes: number;
  /** The median size of the earlier dumps. */
  usual_bytes: number;
  /** When the first dump that was too small began: the good ones before it are worth keeping. */
  shrunk_at: string;
  /** Of the dump's tables, as in `dumpSizes`. */
  selection?: string;
};

/** The usual size is the median of this many earlier good dumps. */
const EARLIER_DUMPS = 5;
/** Alerts of this key that are searched for the last one not dated ahead of the clock. */
const EARLIER_ALERTS = 20;

/**
 * Raises an alert when a good dump is much smaller than the earlier ones: an emptied database dumps without any
 * error. Later dumps are compared with the usual size before the first small one, until somebody acknowledges the
 * alert: then the new size is the usual one.
 */
export async function alertIfShrunk(context: AlertContext, backup: BackupRecord): Promise<void> {
  const { catalog, clock, config } = context;
  const { id: backup_id, server, database, dump_bytes, started_at, run_id } = backup;
  const percent = config.guard.shrunk_percent;
  if (percent === 0 || dump_bytes === null) return;
  const key = `shrunk ${server}/${database}`;
  const alerts = await catalog.alerts({ key, limit: EARLIER_ALERTS });
  const last = newestOf(alerts, ({ created_at }) => new Date(created_at), clock.now());
  const known = last?.metadata as ShrinkMetadata | undefined;
  const isAccepted = typeof last?.acknowledged_at === "string";
  const isOpen = last?.resolved_at === null;
  const name = `${server}/${database}`;
  if (isOpen && isAccepted)
    await resolveAlert(context, key, `the new size of the dump of ${name} was acknowledged`);
  // A date written while the clock was ahead would exclude every dump until that time.
  const isBelieved = known !== undefined && !isAhead(new Date(known.shrunk_at), clock.now());
  const since = isAccepted && isBelieved ? known.shrunk_at : undefined;
  const selection = leftOutOf(backup.facts)?.key ?? "";
  const isOther = isOpen && (known?.selection ?? "") !== selection;
  if (isOther) await resolveAlert(context, key, `the config selects other parts of ${name} now`);
  const open = isOpen && !isAccepted && !isOther ? known : undefined;
  const range = { since: since ?? "", before: started_at, limit: EARLIER_DUMPS, selection };
  const usual_bytes = open?.usual_bytes ?? medianOf(await catalog.overview.dumpSizes(backup, range));
  if (usual_bytes === undefined) return;
  if (dump_bytes * 100 >= usual_bytes * percent)
    return resolveAlert(context, key, `the dump of ${name} has its usual size again`);
  const share = Math.round((dump_bytes / usual_bytes) * 100);
  const metadata: ShrinkMetadata = {
    backup_id,
    dump_bytes,
    usual_bytes,
    selection,
    shrunk_at: open && open.shrunk_at < started_at ? open.shrunk_at : started_at,
    hint: "check whether data is missing; if the new size is right, acknowledge this alert",
  };
  await raiseAlert(context, {
    level: "WARNING",
    job: "backup",
    run_id,
    server,
    database,
    key,
    message: `the dump of ${server}/${database} shrank to ${share} % of its usual size`,
    metadata,
  });
}

/** Undefined for an empty list. */
function medianOf(sizes: readonly number[]): number | undefined {
  return sizes.toSorted((a, b) => a - b)[Math.floor((sizes.length - 1) / 2)];
}
