import type { Config, RuleConfig } from "../config/config.ts";
import { OFF } from "../config/cron.ts";
import { storageImmutability } from "../storage/immutability.ts";
import type { RuledStorage, RuleName } from "./facts.ts";

/** The most that the config makes possible for a new backup. */
export interface Offer {
  /** With the live database. */
  copies: number;
  /** Of the live database's disk and of the storages. */
  kinds: number;
  /** Names of the storages that are off-site. */
  off_site: string[];
}

/**
 * Looks at settings only, not at backups. The live database is one of the copies, on a disk. Archives do not count,
 * because they get copies only when these expire elsewhere. `storages` must not hold one place twice.
 */
export function offerOf(storages: readonly RuledStorage[]): Offer {
  return OFFERS.getOrInsertComputed(storages, () => {
    const archives = archivesOf(storages);
    const counted = storages.filter(({ name }) => !archives.includes(name));
    return {
      copies: 1 + counted.length,
      kinds: new Set(["local", ...counted.map(({ type }) => type)]).size,
      off_site: counted.filter((storage) => storage.off_site).map(({ name }) => name),
    };
  });
}

/** Those of the lists of storages that are judged again and again, for each database. */
const OFFERS = new WeakMap<readonly RuledStorage[], Offer>();
const ARCHIVES = new WeakMap<readonly RuledStorage[], readonly string[]>();

/** The names of the storages that only get copies that expire elsewhere. */
export function archivesOf(storages: readonly RuledStorage[]): readonly string[] {
  return ARCHIVES.getOrInsertComputed(storages, () =>
    storages.flatMap(({ expire }) => (typeof expire === "object" ? expire.archive_to : [])),
  );
}

/** How far the storages of a config meet the first three digits, 3-2-1. */
export interface ThreeTwoOne {
  isMet: boolean;
  /** One line, without the name of the config. */
  message: string;
  /** The next step; null if it is met. */
  hint: string | null;
}

export function threeTwoOne(storages: readonly RuledStorage[], demands: RuleConfig): ThreeTwoOne {
  const { copies, kinds, off_site: offSite } = offerOf(storages);
  const lacks = [
    ...(copies < demands.copies ? [`${copies} of ${demands.copies} copies (the live database is one)`] : []),
    ...(kinds < demands.kinds ? [`${kinds} of ${demands.kinds} kinds of storage (only disks)`] : []),
    ...(offSite.length < demands.off_site ? [offSiteText(offSite.length, demands.off_site)] : []),
  ];
  const name = `${demands.copies}-${demands.kinds}-${demands.off_site}`;
  if (lacks.length === 0) {
    const found = `${copies} copies (the live database is one), ${kinds} ${kinds === 1 ? "kind" : "kinds"} of storage`;
    const message = `${name} is met: ${found}, off-site: ${offSite.join(", ") || "none"}`;
    return { isMet: true, message, hint: null };
  }
  return {
    isMet: false,
    message: `${name} is not met: ${lacks.join(", ")}`,
    hint: storageStep(storages, demands),
  };
}

/**
 * What of the last two digits the config demands, but nothing in it can give: one line; null if nothing is missing. A
 * config may be good without it, so this is no warning.
 */
export function lastTwoNotSetUp({
  storage,
  rule,
  schedule,
}: Pick<Config, "storage" | "rule" | "schedule">): string | null {
  const archives = archivesOf(storage);
  const immutable = storage.filter(
    (one) => !archives.includes(one.name) && storageImmutability(one, undefined).isWanted,
  );
  const isTested = schedule.restore_test !== OFF || rule.trusted_provers.length > 0;
  const lacks = [
    ...(immutable.length < rule.immutable
      ? [`${rule.immutable} immutable (lock the copies of an S3 storage: docs/immutability.md)`]
      : []),
    ...(rule.zero_errors && !isTested ? ["0 errors (set schedule.restore_test: docs/restore-tests.md)"] : []),
  ];
  return lacks.length === 0 ? null : `not set up yet: ${lacks.join(" and ")}`;
}

/** `no copy off-site`, `1 of 2 copies off-site`. */
export function offSiteText(found: number, demanded: number): string {
  return found === 0 ? "no copy off-site" : `${found} of ${demanded} copies off-site`;
}

/**
 * Which storage to add so that the config meets the first three digits; for one of them only, `off_site = true` is
 * named if it would help.
 */
export function storageStep(
  storages: readonly RuledStorage[],
  demands: RuleConfig,
  rule: RuleName = "off_site",
): string {
  const { kinds, off_site: offSite } = offerOf(storages);
  const isAtHome = offSite.length < demands.off_site;
  const type = kinds < demands.kinds ? ' of type "s3"' : "";
  const step = `add a [[storage]]${type}${isAtHome ? " at another site" : ""}: config.example.toml shows one`;
  const hasOthers = storages.some(({ off_site }) => !off_site);
  return isAtHome && hasOthers && rule === "off_site"
    ? `${step}; for a storage that is at another site already, set off_site = true`
    : step;
}
