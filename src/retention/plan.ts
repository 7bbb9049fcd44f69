import { createHash } from "node:crypto";
import { Calendar } from "./calendar.ts";
import { isAhead, planDatabase, type Rules } from "./database-plan.ts";
import type {
  NewestGood,
  RetainedBackup,
  RetentionDecision,
  RetentionInput,
  RetentionPlan,
  Suspension,
} from "./facts.ts";
import { massExpiryStops, type Stops } from "./mass-expiry.ts";

export type * from "./facts.ts";

/** Hex digits of a plan's hash: few enough to type, too many to hit by chance. */
const HASH_DIGITS = 16;

/**
 * Decides on every copy whether it stays. The same facts give the same plan in whatever order they come, and
 * once a plan is carried out the same facts let nothing more go.
 */
export function planRetention(input: RetentionInput): RetentionPlan {
  const rules: Rules = {
    now: input.now,
    guard: input.guard,
    calendar: new Calendar(input.timezone),
    storages: new Map(input.storages.map((storage) => [storage.name, storage])),
  };
  const plans = byDatabase(input.backups).map((backups) => planDatabase(backups, rules));
  const decisions = plans.flatMap((plan) => plan.decisions);
  const mass = massExpiryStops(plans.map((plan) => plan.decisions));
  const stops = input.clockSuspicion === undefined ? mass : withClock(mass, input.clockSuspicion, decisions);
  const planHash = hashOf(decisions, stops.suspended);
  const isConfirmed = input.confirmedPlanHash === planHash;
  if (!isConfirmed) suspend(decisions, stops);
  return {
    decisions,
    suspended: isConfirmed ? [] : stops.suspended,
    planHash,
    futureDated: input.backups
      .filter((backup) => isAhead(backup, input.now))
      .sort(newestFirst)
      .map(({ id, server, database, startedAt }) => ({ backupId: id, server, database, startedAt })),
    newestGood: plans.map((plan) => plan.newestGood).filter((one): one is NewestGood => one !== undefined),
  };
}

/** The backups of each database, newest first; the databases in order of their names. */
function byDatabase(backups: readonly RetainedBackup[]): RetainedBackup[][] {
  const groups = new Map<string, RetainedBackup[]>();
  for (const backup of backups) {
    const key = `${backup.server}\0${backup.database}`;
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [backup]);
    else group.push(backup);
  }
  return [...groups].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, group]) => group.sort(newestFirst));
}

function newestFirst(a: RetainedBackup, b: RetainedBackup): number {
  const [aMs, bMs] = [a.startedAt.getTime(), b.startedAt.getTime()];
  // A date that is none comes first, with those of the future; two at the same moment in order of their ids.
  if (Number.isNaN(aMs) !== Number.isNaN(bMs)) return Number.isNaN(aMs) ? -1 : 1;
  return bMs - aMs || (a.id < b.id ? -1 : 1);
}

function withClock(mass: Stops, reason: string, decisions: readonly RetentionDecision[]): Stops {
  const copies = decisions.filter(({ action }) => action === "expire").length;
  if (copies === 0) return mass;
  const clock: Suspension = { kind: "clock", copies, reason };
  return { suspended: [clock, ...mass.suspended], stopOf: () => clock };
}

function suspend(decisions: readonly RetentionDecision[], { stopOf }: Stops): void {
  for (const decision of decisions) {
    const stop = decision.action === "expire" ? stopOf(decision) : undefined;
    if (stop === undefined) continue;
    decision.action = "keep";
    decision.isSuspended = true;
    decision.reliesOn = [];
    decision.reason += `, but it waits for a confirmation: ${stop.reason}`;
  }
}

/** The decisions come in one order whatever the order of the input was. */
function hashOf(decisions: readonly RetentionDecision[], suspended: readonly Suspension[]): string {
  const hash = createHash("sha256");
  for (const { kind, storage, server, database } of suspended)
    hash.update(`${JSON.stringify([kind, storage, server, database])}\n`);
  for (const { action, backupId, storage } of decisions)
    if (action === "expire") hash.update(`${JSON.stringify([backupId, storage])}\n`);
  return hash.digest("hex").slice(0, HASH_DIGITS);
}
