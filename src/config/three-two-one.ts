import type { StorageConfig } from "./config.ts";

/** The part of a storage's settings that the rule looks at. */
export type RuledStorage = Pick<StorageConfig, "name" | "type" | "off_site" | "expire">;

/** How far the storages of a config meet 3-2-1: 3 copies, on 2 kinds of storage, 1 of them off-site. */
export interface ThreeTwoOne {
  isMet: boolean;
  /** One line, without the name of the config. */
  message: string;
  /** The next step; null if it is met. */
  hint: string | null;
}

const COPIES_MIN = 3;
const KINDS_MIN = 2;

/**
 * Looks at settings only, not at backups. The live database is one of the copies, on a disk. Archives do not count,
 * because they get copies only when these expire elsewhere. `storages` must not hold one place twice.
 */
export function threeTwoOne(storages: readonly RuledStorage[]): ThreeTwoOne {
  const archives = storages.flatMap(({ expire }) => (typeof expire === "object" ? expire.archive_to : []));
  const counted = storages.filter(({ name }) => !archives.includes(name));
  const copies = 1 + counted.length;
  const kinds = new Set(["local", ...counted.map(({ type }) => type)]);
  const offSite = counted.filter((storage) => storage.off_site).map(({ name }) => name);
  const lacks = [
    ...(copies < COPIES_MIN ? [`${copies} of ${COPIES_MIN} copies (the live database is one)`] : []),
    ...(kinds.size < KINDS_MIN ? [`${kinds.size} of ${KINDS_MIN} kinds of storage (only disks)`] : []),
    ...(offSite.length === 0 ? ["no copy off-site"] : []),
  ];
  if (lacks.length === 0) {
    const found = `${copies} copies (the live database is one), ${kinds.size} kinds of storage`;
    return { isMet: true, message: `3-2-1 is met: ${found}, off-site: ${offSite.join(", ")}`, hint: null };
  }
  const type = kinds.size < KINDS_MIN ? ' of type "s3"' : "";
  const site = offSite.length === 0 ? " at another site" : "";
  const step = `add a [[storage]]${type}${site}: config.example.toml shows one`;
  const isElsewhere = offSite.length === 0 && counted.length > 0;
  return {
    isMet: false,
    message: `3-2-1 is not met: ${lacks.join(", ")}`,
    hint: isElsewhere ? `${step}; for a storage that is at another site already, set off_site = true` : step,
  };
}
