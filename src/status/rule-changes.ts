import { deliverAlerts } from "../alerts/deliver.ts";
import { alertRule, type LostMarks } from "../alerts/rule-alerts.ts";
import { messageOf } from "../base/errors.ts";
import { CatalogUnwritableError } from "../catalog/unwritable.ts";
import type { JobContext } from "../jobs/context.ts";
import { timetableOf } from "../jobs/schedules.ts";
import { hasChanged } from "../rule/since.ts";
import { markName } from "../rule/words.ts";
import { wantedOf } from "../storage/immutability.ts";
import { databaseStatuses } from "./databases.ts";
import type { DatabaseStatus } from "./report.ts";
import { databaseKey } from "./rule-facts.ts";
import { readRecords } from "./source.ts";

/**
 * Judges the marks of all databases of this host, records those that have changed, and raises or resolves the alerts about lost ones.
 * Called after everything that may change them, and now and then, because time does too. Never throws: no run fails for it.
 */
export async function settleMarks(context: JobContext): Promise<void> {
  const { catalog, clock, config, log } = context;
  try {
    const now = clock.now();
    const timetable = timetableOf(config, now).map((entry) => ({ ...entry, nextRunAt: null }));
    const records = await readRecords(context, now);
    const { ownsServer } = records.ownership;
    const isOwn = ({ server }: { server: string }) => ownsServer(server);
    const databases = (await databaseStatuses(context, timetable, records)).filter(isOwn);
    const before = Map.groupBy((await catalog.ruleMarks.list()).filter(isOwn), databaseKey);
    const changed = databases.filter((one) => hasChanged(one.marks, before.get(databaseKey(one)) ?? []));
    const known = new Set(databases.map(databaseKey));
    const removed = [...before.values()].flatMap(([first]) =>
      first !== undefined && !known.has(databaseKey(first)) ? [{ ...first, marks: [] }] : [],
    );
    const changes = [...changed, ...removed];
    if (changes.length > 0) await catalog.ruleMarks.replace(changes);
    const lost = await Promise.all(databases.flatMap(lostMarks).map((one) => withCopies(context, one)));
    await alertRule(context, lost, (name) => resolution(databases, name));
  } catch (error) {
    // Whoever writes to the catalog reports that it cannot be written.
    if (!(error instanceof CatalogUnwritableError))
      log.error("the marks of 3-2-1-1-0 could not be judged", { error: messageOf(error) });
  }
}

/** Judges the marks, then delivers the alerts that wait. Never throws. */
export async function settleAndDeliver(context: JobContext): Promise<void> {
  await settleMarks(context);
  await deliverAlerts(context);
}

type JudgedMarks = Omit<LostMarks, "immutableCopies"> & { backupId: string | undefined };

/** Adds the copies that are to be immutable. */
async function withCopies(
  { catalog, config }: JobContext,
  { backupId, ...marks }: JudgedMarks,
): Promise<LostMarks> {
  const wanted = new Set(config.storage.filter((one) => wantedOf(one) !== undefined).map(({ name }) => name));
  const isImmutable = marks.rules.includes("immutable");
  const copies = isImmutable && backupId !== undefined ? await catalog.copies(backupId) : [];
  const immutableCopies = copies
    .filter(({ storage }) => wanted.has(storage))
    .map(({ storage, state }) => ({ storage, isGood: state === "CONFIRMED" }));
  return { ...marks, immutableCopies };
}

function lostMarks({ server, database, marks, newest_good }: DatabaseStatus): JudgedMarks[] {
  const lost = marks.filter(({ state }) => state === "lost");
  const [first] = lost;
  if (first === undefined) return [];
  const names = lost.map((mark) => `"${markName(mark)}"`);
  const last = names.pop();
  return [
    {
      server,
      database,
      backupId: newest_good?.id,
      rules: lost.map(({ rule }) => rule),
      message: `${server}/${database} has lost ${[names.join(", "), last].filter(Boolean).join(" and ")}: ${first.sentence}`,
      hint: [...new Set(lost.flatMap(({ next_step }) => next_step ?? []))].join("; "),
    },
  ];
}

function resolution(databases: readonly DatabaseStatus[], name: string): string {
  const one = databases.find(({ server, database }) => `${server}/${database}` === name);
  if (one === undefined || one.gone_at !== null) return `${name} is no longer backed up`;
  const held = one.marks.filter(({ state }) => state === "held");
  const digits = held.map(({ demanded }) => demanded).join("-");
  return `${name} has no lost mark of 3-2-1-1-0 any more${held.length === 0 ? "" : `; it holds ${digits}`}`;
}
