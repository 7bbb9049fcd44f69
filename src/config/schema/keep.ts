import * as v from "valibot";
import type { ExpireConfig, KeepConfig, StorageConfig } from "../config.ts";
import { facts, integer, leaf } from "./leaf.ts";
import { NAME } from "./server.ts";
import { type Report, table } from "./table.ts";
import { isTable } from "./values.ts";

/** A hundred years in days: more is a mistake. */
export const KEEP_MAX = 36_500;
export const COUNTING_RULES = ["last", "daily", "weekly", "monthly", "yearly"] as const;

export function keep(days: number) {
  const count = v.optional(integer(1, KEEP_MAX));
  return v.optional(
    v.pipe(
      table("a keep table", {
        days: v.optional(integer(1, KEEP_MAX), days),
        last: count,
        daily: count,
        weekly: count,
        monthly: count,
        yearly: count,
      }),
      v.transform(
        ({ days, last, daily, weekly, monthly, yearly }): KeepConfig => ({
          days,
          last,
          daily,
          weekly,
          monthly,
          yearly,
        }),
      ),
    ),
    {},
  );
}

/** Takes one of `words`, or a table that names an archive. */
export function expire(words: readonly ("delete" | "provider-lifecycle")[]) {
  const shown = [...words.map((word) => JSON.stringify(word)), '{ archive_to = "NAME" }'].join(" or ");
  const word = leaf(shown, (value) => words.find((word) => word === value), {
    choices: words,
    form: { enum: words },
  });
  const archive = table("an expire table", { archive_to: NAME });
  return v.optional(
    v.pipe(
      v.lazy((value): v.GenericSchema<unknown, ExpireConfig> => (isTable(value) ? archive : word)),
      facts({ alternatives: [word, archive] }),
    ),
    "delete",
  );
}

/** A provider's lifecycle rules delete by age only, so counting rules could not protect a copy. */
export function providerCountsNothing(
  { keep, expire }: Readonly<Record<string, unknown>>,
  report: Report,
): void {
  if (expire !== "provider-lifecycle" || !isTable(keep)) return;
  for (const name of COUNTING_RULES) {
    if (keep[name] === undefined) continue;
    report(["keep", name], 'not allowed with expire = "provider-lifecycle", which deletes by age only');
  }
}

/** The mistake in a storage's `archive_to`; undefined if there is none. */
export function archiveProblem(from: StorageConfig, storages: readonly StorageConfig[]): string | undefined {
  const target = archiveOf(from);
  if (target === undefined) return undefined;
  const others = storages.map(({ name }) => name).filter((name) => name !== from.name);
  if (!others.includes(target)) {
    const named = others.map((name) => JSON.stringify(name)).join(", ");
    return `found "${target}", expected the name of another [[storage]]${named === "" ? "" : `: ${named}`}`;
  }
  const passed = [from.name];
  let next: string | undefined = target;
  while (next !== undefined && !passed.includes(next)) {
    passed.push(next);
    const at = storages.find(({ name }) => name === next);
    next = at === undefined ? undefined : archiveOf(at);
  }
  if (next === from.name) return `found a circle: ${[...passed, next].join(" to ")}`;
  const archive = storages.find(({ name }) => name === target);
  if (archive === undefined || archive.keep.days > from.keep.days) return undefined;
  return `found "${target}", whose keep.days (${archive.keep.days}) is not more than that of this storage (${from.keep.days}): archived copies would expire there at once`;
}

function archiveOf({ expire }: StorageConfig): string | undefined {
  return typeof expire === "object" ? expire.archive_to : undefined;
}
