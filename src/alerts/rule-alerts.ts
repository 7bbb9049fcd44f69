import { plural } from "../base/text/amounts.ts";
import type { AlertRecord } from "../catalog/records.ts";
import { amendAlert, raiseAlert, resolveAlert, supersedeAlert } from "./alert.ts";
import type { AlertContext } from "./alert-context.ts";
import { databasesOf } from "./databases-of.ts";
import { LOCK_KEY } from "./lock-alerts.ts";

/** How the keys of these alerts begin: `rule main/app`, or `rule databases` for many. */
export const RULE_KEY = "rule ";
const GROUP_KEY = `${RULE_KEY}databases`;
/** So many databases that lose marks at the same time share one alert. */
const GROUP_MIN = 4;
/** At most this many databases are named in a message. */
const NAMED_MAX = 3;

/** The marks of 3-2-1-1-0 that a database has lost. */
export interface LostMarks {
  server: string;
  database: string;
  /** Names of the rules. */
  rules: string[];
  /** One sentence: which marks, and why. */
  message: string;
  /** The next steps. */
  hint: string;
  /** The copies of the newest good backup in storages that are to keep copies immutable. */
  immutableCopies: readonly { storage: string; isGood: boolean }[];
}

/** What an open alert says about one database. */
interface Covered {
  rules: string[];
  /** Nobody got a notice: another alert is about the cause. */
  isQuiet: boolean;
}

/**
 * Raises an alert about the lost marks of each database, or one for all if many databases lose marks at once; resolves
 * those of databases that have none any more. While another alert is open about the cause (a failed copy, damage, a
 * failed restore test), an alert is recorded, but no notice is sent about its beginning or its end: the other alert has
 * them. `resolution` says how it is now with a database. Never throws.
 */
export async function alertRule(
  context: AlertContext,
  lost: readonly LostMarks[],
  resolution: (name: string) => string,
): Promise<void> {
  const all = await context.catalog.alerts({ open: true });
  const open = all.filter(({ key }) => key.startsWith(RULE_KEY));
  const others = all.filter(({ key }) => !key.startsWith(RULE_KEY));
  const covered = new Map(open.flatMap(coveredBy));
  const isQuiet = (marks: LostMarks) => marks.rules.every((rule) => hasCause(marks, rule, others));
  const news = lost.filter((marks) => {
    const known = covered.get(nameOf(marks));
    if (known === undefined) return true;
    return marks.rules.some((rule) => !known.rules.includes(rule)) || (known.isQuiet && !isQuiet(marks));
  });
  const inGroup = new Set(open.flatMap((one) => (one.key === GROUP_KEY ? databasesOf(one) : [])));
  const isMany = news.length >= GROUP_MIN;
  const grouped = lost.filter((marks) => (news.includes(marks) ? isMany : inGroup.has(nameOf(marks))));
  const own = lost.filter((marks) => !grouped.includes(marks));
  for (const alert of open) await endUnlessAmong(context, alert, { own, grouped, resolution });
  const put = (key: string, some: readonly LostMarks[]) =>
    putAlert(context, key, some, {
      isNew: some.some((marks) => news.includes(marks)),
      isQuiet: some.every(isQuiet),
      open: open.find((one) => one.key === key),
    });
  for (const marks of own) await put(`${RULE_KEY}${nameOf(marks)}`, [marks]);
  if (grouped.length > 0) await put(GROUP_KEY, grouped);
}

/** Ends an alert whose databases have no lost marks any more, or are covered by another alert now. */
async function endUnlessAmong(
  context: AlertContext,
  { key, metadata }: AlertRecord,
  {
    own,
    grouped,
    resolution,
  }: {
    own: readonly LostMarks[];
    grouped: readonly LostMarks[];
    resolution: (name: string) => string;
  },
): Promise<void> {
  const isGroup = key === GROUP_KEY;
  const names = isGroup ? databasesOf({ metadata }) : [key.slice(RULE_KEY.length)];
  const isIn = (some: readonly LostMarks[]) => some.some((marks) => names.includes(nameOf(marks)));
  if (isIn(isGroup ? grouped : own)) return;
  // Nobody heard of it, or the problem is not over.
  if (metadata["is_quiet"] === true || isIn(isGroup ? own : grouped)) return supersedeAlert(context, key);
  const [first = ""] = names;
  const text = resolution(first);
  const resolved = names.length === 1 ? text : `no database has a lost mark of 3-2-1-1-0 any more; ${text}`;
  await resolveAlert(context, key, resolved);
}

interface Put {
  /** Whether it says more than the open alert of its key, or than nothing. */
  isNew: boolean;
  isQuiet: boolean;
  open: AlertRecord | undefined;
}

/** Raises an alert, as a new one if it says more than before; otherwise only keeps the open one up to date. */
async function putAlert(
  context: AlertContext,
  key: string,
  lost: readonly LostMarks[],
  { isNew, isQuiet, open }: Put,
): Promise<void> {
  const [first] = lost;
  if (first === undefined) return;
  const isGroup = key === GROUP_KEY;
  const message = isGroup ? groupMessage(lost, first) : first.message;
  const metadata = {
    ...(isGroup ? { databases: lost.map(nameOf) } : {}),
    lost: Object.fromEntries(lost.map((marks) => [nameOf(marks), marks.rules])),
    is_quiet: isNew ? isQuiet : open?.metadata["is_quiet"] === true,
    hint: first.hint,
  };
  if (!isNew) {
    if (open?.message === message && Bun.deepEquals(open.metadata, metadata)) return;
    return amendAlert(context, key, (one) => ({ ...one, message, metadata }));
  }
  await supersedeAlert(context, key);
  // The alert about the cause has been logged.
  if (!isQuiet) context.log.warning(message);
  await raiseAlert(context, {
    level: "WARNING",
    job: "backup",
    run_id: null,
    server: isGroup ? null : first.server,
    database: isGroup ? null : first.database,
    key,
    message,
    metadata,
    isQuiet,
    isWithoutReminders: isQuiet,
  });
  // Nobody has to acknowledge one problem twice.
  const acknowledged_at = context.clock.now().toISOString();
  if (isQuiet) await amendAlert(context, key, (one) => ({ ...one, acknowledged_at }));
}

function groupMessage(lost: readonly LostMarks[], first: LostMarks): string {
  const names = lost.slice(0, NAMED_MAX).map(nameOf);
  const rest = lost.length - names.length;
  const more = rest === 0 ? "" : ` and ${plural(rest, "other")}`;
  return `${plural(lost.length, "database")} have lost marks of 3-2-1-1-0: ${names.join(", ")}${more}; ${first.message}`;
}

function coveredBy({ metadata }: AlertRecord): [string, Covered][] {
  const { lost, is_quiet } = metadata;
  if (typeof lost !== "object" || lost === null) return [];
  return Object.entries(lost).map(([name, rules]) => [
    name,
    { rules: Array.isArray(rules) ? rules.map(String) : [], isQuiet: is_quiet === true },
  ]);
}

/** The kinds of alerts that are about the cause of a lost mark. */
const CAUSES: Readonly<Record<string, readonly string[]>> = { zero_errors: ["restore_test"] };
const CAUSES_OF_COPIES = ["backup", "verify", "repair", "storage"];

/** Whether an open alert is about the reason why a database has lost a mark. */
function hasCause(marks: LostMarks, rule: string, open: readonly AlertRecord[]): boolean {
  const { server, database, immutableCopies } = marks;
  const causes = CAUSES[rule] ?? CAUSES_OF_COPIES;
  return open.some((alert) => {
    if (rule === "immutable") {
      if (immutableCopies.some(({ storage }) => alert.key === `${LOCK_KEY}${storage}`)) return true;
      if (!isAboutImmutable(marks, alert)) return false;
    }
    if (!causes.includes(alert.key.split(" ")[0] ?? "")) return false;
    if (databasesOf(alert).includes(`${server}/${database}`)) return true;
    if (alert.server !== server) return false;
    return alert.database === database || (alert.database === null && alert.key === `backup ${server}`);
  });
}

/** Whether an alert about copies may be about one that is to be immutable. */
function isAboutImmutable({ immutableCopies }: LostMarks, { key }: AlertRecord): boolean {
  const lacking = immutableCopies.filter(({ isGood }) => !isGood);
  // The alert about a backup names no storage: it is about the copies that it did not make.
  if (key.startsWith("backup ") && !key.startsWith("backup storage ")) return lacking.length > 0;
  return immutableCopies.some(({ storage }) => key.endsWith(` ${storage}`));
}

function nameOf({ server, database }: Pick<LostMarks, "server" | "database">): string {
  return `${server}/${database}`;
}
