import { ageMs } from "../base/clock.ts";
import { isAhead } from "../base/newest-good.ts";
import { durationText, plural } from "../base/text/amounts.ts";
import type { Judged } from "./counted.ts";
import { backupStep, countedIn, momentText, withoutBackup, withoutCopies } from "./counted.ts";
import type { Mark, RuledStorage, RuleFacts, RuleName } from "./facts.ts";
import { immutableMark } from "./immutable.ts";
import { archivesOf, offerOf, offSiteText, storageStep } from "./setup.ts";
import { zeroErrorsMark } from "./zero-errors.ts";

/**
 * The five marks of one database, in the order of `RULES`. Only confirmed copies of its newest good backup count, in
 * storages that the config has; and the live database, as one copy on a disk.
 */
export function marksOf(facts: RuleFacts): Mark[] {
  const { copies, kinds, off_site, immutable, zero_errors } = facts.demands;
  return [
    mark("copies", copies, copies > 0, () => copiesMark(facts)),
    mark("kinds", kinds, kinds > 0, () => kindsMark(facts)),
    mark("off_site", off_site, off_site > 0, () => offSiteMark(facts)),
    mark("immutable", immutable, immutable > 0, () => immutableMark(facts)),
    mark("zero_errors", 0, zero_errors, () => zeroErrorsMark(facts)),
  ];
}

function mark(rule: RuleName, demanded: number, isDemanded: boolean, judge: () => Judged): Mark {
  const none = { rule, demanded, next_step: null, lost_at: null };
  if (!isDemanded) return { ...none, state: "not_demanded", sentence: "the config does not demand it" };
  return { ...none, ...judge() };
}

function copiesMark(facts: RuleFacts): Judged {
  const { backup, demands, isLive, storages } = facts;
  if (backup === null) return withoutBackup(facts, "copies");
  const age = tooOld(facts, backup.started_at);
  const stored = countedIn(facts).map(({ name }) => name);
  const found = [...(isLive ? ["the live database"] : []), ...stored];
  const isEnough = found.length >= demands.copies;
  if (isEnough && age === undefined)
    return { state: "held", sentence: `${plural(found.length, "copy", "copies")}: ${found.join(", ")}` };
  const missing = `${found.length} of ${demands.copies} copies: ${found.join(", ") || "none"}${lacksText(facts)}`;
  if (!isEnough && offerOf(storages).copies < demands.copies)
    return { state: "not_set_up", sentence: missing, next_step: storageStep(storages, demands, "copies") };
  if (age === undefined)
    return withoutCopies(facts, "copies", { sentence: missing, next_step: copyStep(facts) });
  const sentence = isEnough ? age.sentence : `${age.sentence}; ${missing}`;
  return { state: "lost", sentence, next_step: backupStep(facts), lost_at: isEnough ? age.since : null };
}

/** Why the newest good backup is no copy of the data any more; undefined if it is young enough. */
function tooOld(
  { now, staleAfterMs }: RuleFacts,
  startedAt: string,
): { sentence: string; since: Date | null } | undefined {
  const started = new Date(startedAt);
  const of = `the newest good backup is from ${momentText(startedAt)}`;
  if (isAhead(started, now))
    return { sentence: `${of}, ahead of the clock: its age is unknown`, since: null };
  if (ageMs(startedAt, now) <= staleAfterMs) return undefined;
  return {
    sentence: `${of}: it is older than ${durationText(staleAfterMs)}`,
    since: new Date(started.getTime() + staleAfterMs),
  };
}

function kindsMark(facts: RuleFacts): Judged {
  const { backup, demands, isLive, storages } = facts;
  if (backup === null) return withoutBackup(facts, "kinds");
  const counted = countedIn(facts);
  const of = (type: RuledStorage["type"]) =>
    counted.filter((storage) => storage.type === type).map(({ name }) => name);
  const disks = [...(isLive ? ["the live database"] : []), ...of("local")];
  const kinds = [
    ...(disks.length > 0 ? [`disk (${disks.join(", ")})`] : []),
    ...(of("s3").length > 0 ? [`bucket (${of("s3").join(", ")})`] : []),
  ];
  if (kinds.length >= demands.kinds)
    return { state: "held", sentence: `${plural(kinds.length, "kind")} of storage: ${kinds.join(", ")}` };
  const sentence = `${kinds.length} of ${demands.kinds} kinds of storage: ${kinds.join(", ") || "none"}${lacksText(facts)}`;
  if (offerOf(storages).kinds < demands.kinds)
    return { state: "not_set_up", sentence, next_step: storageStep(storages, demands, "kinds") };
  return withoutCopies(facts, "kinds", { sentence, next_step: copyStep(facts) });
}

function offSiteMark(facts: RuleFacts): Judged {
  const { backup, demands, storages } = facts;
  if (backup === null) return withoutBackup(facts, "off_site");
  const found = countedIn(facts).flatMap(({ name, off_site }) => (off_site ? name : []));
  if (found.length >= demands.off_site) return { state: "held", sentence: `off-site: ${found.join(", ")}` };
  const isOffSite = ({ off_site }: RuledStorage) => off_site;
  const have = found.length === 0 ? "" : `: ${found.join(", ")}`;
  const sentence = `${offSiteText(found.length, demands.off_site)}${have}${lacksText(facts, isOffSite)}`;
  if (offerOf(storages).off_site.length < demands.off_site)
    return { state: "not_set_up", sentence, next_step: storageStep(storages, demands) };
  return withoutCopies(facts, "off_site", { sentence, next_step: copyStep(facts, isOffSite) });
}

interface Lack {
  name: string;
  word: string;
  /** Whether `repair` fills it. */
  isRepairable: boolean;
}

/** The storages that should have a copy and lack it. */
function lacksOf({ storages, backup }: RuleFacts, isWanted: (storage: RuledStorage) => boolean): Lack[] {
  const archives = archivesOf(storages);
  return storages.flatMap((storage): Lack[] => {
    const { name } = storage;
    if (archives.includes(name) || !isWanted(storage)) return [];
    const state = backup?.copies.find((copy) => copy.storage === name)?.state;
    switch (state) {
      case "CONFIRMED":
        return [];
      case "DAMAGED":
      case "MISSING":
      case "FAILED":
        return [{ name, word: state.toLowerCase(), isRepairable: true }];
      case "DELETING":
      case "HIDDEN":
      case "DELETED":
        return [{ name, word: "removed", isRepairable: false }];
      case "INTENDED":
        return [{ name, word: "not finished", isRepairable: true }];
      default:
        return [{ name, word: "no copy", isRepairable: true }];
    }
  });
}

const ALL = () => true;

/** `; not in r2 (damaged), usb (no copy)`; empty if every storage has its copy. */
function lacksText(facts: RuleFacts, isWanted: (storage: RuledStorage) => boolean = ALL): string {
  const lacks = lacksOf(facts, isWanted).map(({ name, word }) => `${name} (${word})`);
  const unseen = facts.isLive || isWanted !== ALL ? "" : "; the last backup did not see the live database";
  return `${lacks.length === 0 ? "" : `; not in ${lacks.join(", ")}`}${unseen}`;
}

function copyStep(facts: RuleFacts, isWanted: (storage: RuledStorage) => boolean = ALL): string {
  const lacks = lacksOf(facts, isWanted);
  const full = lacks.flatMap(({ name }) => (facts.full.includes(name) ? name : []));
  if (full.length > 0)
    return `free space in ${full.join(", ")} or lower min_free, then fill the missing copies, with: pg321 repair`;
  if (lacks.some(({ isRepairable }) => isRepairable)) return "fill the missing copies, with: pg321 repair";
  if (lacks.length > 0 || facts.isLive) return backupStep(facts);
  return "see why the server could not be reached, with: pg321 doctor";
}
