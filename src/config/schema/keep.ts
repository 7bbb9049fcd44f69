import * as v from "valibot";
import type { ExpireConfig, KeepConfig, StorageConfig } from "../config.ts";
import { integer, leaf } from "./leaf.ts";
import { NAME } from "./server.ts";
import { type Report, table } from "./table.ts";
import { isTable } from "./values.ts";

/** More would be a slip: it is a hundred years of days. */
const KEEP_MAX = 36_500;
const COUNTING_RULES = ["last", "daily", "weekly", "monthly", "yearly"] as const;

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

/** `words` are those that it may be; or a table that names an archive. */
export function expire(words: readonly ("delete" | "provider-lifecycle")[]) {
  const shown = [...words.map((word) => JSON.stringify(word)), '{ archive_to = "NAME" }'].join(" or ");
  const word = leaf(shown, (value) => words.find((word) => word === value), { choices: words });
  const archive = table("an expire table", { archive_to: NAME });
  return v.optional(
    v.lazy((value): v.GenericSchema<unknown, ExpireConfig> => (isTable(value) ? archive : word)),
    "delete",
  );
}

/** A provider's rules know ages only: what they remove, no count of ours holds. */
export function providerCountsNothing(
  { keep, expire }: Readonly<Record<string, unknown>>,
  report: Report,
): void {
  if (expire !== "provider-lifecycle" || !isTable(keep)) return;
  for (const name of COUNTING_RULES) {
    if (keep[name] === undefined) continue;
    report(["keep", name], 'found beside expire = "provider-lifecycle", which removes by age alone');
  }
}

/** What is wrong with where a storage's expired copies go. */
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
  return `found "${target}", which keeps no longer (keep.days = ${archive.keep.days}) than this one (${from.keep.days}): what it gets would be too old there at once`;
}

function archiveOf({ expire }: StorageConfig): string | undefined {
  return typeof expire === "object" ? expire.archive_to : undefined;
}
