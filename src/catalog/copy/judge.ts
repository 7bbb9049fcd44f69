import { realpathSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import type { Clock } from "../../base/clock.ts";
import { Pg321Error } from "../../base/errors.ts";
import { plural } from "../../base/text/amounts.ts";
import { timeText } from "../../base/text/zoned-time.ts";
import type { CatalogConfig } from "../../config/config.ts";
import { catalogText } from "../open.ts";
import { Transactions } from "../postgres/transactions.ts";
import type { TableContent } from "./content.ts";
import { type CopiedTable, type ReadablePlace, sharedTables } from "./place.ts";
import { urlOf } from "./places.ts";

/** What a target is, beside its source. `same_counts`: perhaps the same records, which must be compared. */
export type Standing = "empty" | "unfinished" | "same_counts" | "other";

/** Two names may lead to one database: of a host and its address, or of a primary and its standby. */
const DATABASE = "SELECT oid::text AS database FROM pg_database WHERE datname = current_database()";
const MAY_ASK = "SELECT has_function_privilege('pg_control_system()', 'execute') AS may_ask";
const SYSTEM = "SELECT system_identifier::text AS system FROM pg_control_system()";

/** Throws code `usage` if both ends are one place. */
export async function refuseSamePlace(from: CatalogConfig, to: CatalogConfig, clock: Clock): Promise<void> {
  const [one, other] = [await identityOf(from, clock), await identityOf(to, clock)];
  if (one !== other) return;
  throw new Pg321Error(
    "usage",
    `catalog copy: ${catalogText(from)} and ${catalogText(to)} are the same catalog; nothing was changed`,
    { hint: "name the catalog to copy with --from, and a new place with --to" },
  );
}

async function identityOf(config: CatalogConfig, clock: Clock): Promise<string> {
  if (config.type === "sqlite") return realPath(config.path);
  await using transactions = new Transactions(urlOf(config), clock);
  return await transactions.do("find out which database it is", async ({ rows }) => {
    const [row] = await rows<{ database: string }>(DATABASE);
    const [asked] = await rows<{ may_ask: boolean }>(MAY_ASK);
    // A provider may hide it: then the addresses are compared.
    const [server] = asked?.may_ask ? await rows<{ system: string }>(SYSTEM) : [];
    return `${server?.system ?? catalogText(config)}/${row?.database}`;
  });
}

function realPath(path: string): string {
  const whole = resolve(path);
  try {
    return realpathSync(whole);
  } catch {
    const parent = dirname(whole);
    return parent === whole ? whole : join(realPath(parent), basename(whole));
  }
}

async function installationOf(place: ReadablePlace): Promise<string | undefined> {
  const table = (await place.tables()).find(({ name }) => name === "installation");
  const [row] = table ? await place.page(table, undefined, 1) : [];
  return row && String(row["id"]);
}

/** Throws code `usage` if the target belongs to another installation, or the source to none. */
export async function refuseOtherInstallation(source: ReadablePlace, target: ReadablePlace): Promise<void> {
  const [mine, theirs] = [await installationOf(source), await installationOf(target)];
  if (theirs === undefined || mine === theirs) return;
  throw new Pg321Error(
    "usage",
    `${target.label}: holds the records of another installation (${theirs}, the source is ${mine ?? "of none"}); nothing was changed`,
    { hint: "copy into a place without a catalog" },
  );
}

export async function standingOf(source: ReadablePlace, target: ReadablePlace): Promise<Standing> {
  if (target.unfinished) {
    // A migration would make triggers anew that the end of the copy brings back, and not by the records.
    if (target.isCurrent && (await hasSameTables(source, target))) return "unfinished";
    throw new Pg321Error(
      "usage",
      `${target.label}: an unfinished copy of ${target.unfinished.source} that another version of pg321 began ${timeText(target.unfinished.begun_at)}`,
      { hint: removalHint(target) },
    );
  }
  const counts = new Map<string, number>();
  for (const table of await sharedTables(target, source)) counts.set(table.name, await target.count(table));
  const filled = [...counts].filter(([name, rows]) => rows > 0 && name !== "installation");
  if (filled.length === 0) return "empty";
  if (!(await hasSameTables(source, target))) return "other";
  for (const table of await sharedTables(source, target))
    if ((await source.count(table)) !== counts.get(table.name)) return "other";
  return "same_counts";
}

async function hasSameTables(source: ReadablePlace, target: ReadablePlace): Promise<boolean> {
  return shapeOf(await sharedTables(source, target)) === shapeOf(await sharedTables(target, source));
}

/** The tables and columns, for comparison. */
export function shapeOf(tables: readonly CopiedTable[]): string {
  const lines = tables.map(({ name, columns, key }) => `${name} (${columns.join()}) by ${key.join()}`);
  return lines.sort().join("\n");
}

/** The target holds other records of the same installation; `table`: where the first difference is, if it is known. */
export async function otherContentError(
  source: ReadablePlace,
  target: ReadablePlace,
  table?: string,
): Promise<Pg321Error> {
  const different: string[] = [];
  const known = new Map((await sharedTables(source, target)).map((one) => [one.name, one]));
  for (const one of await sharedTables(target, source)) {
    const there = await target.count(one);
    const mine = known.has(one.name) ? await source.count(known.get(one.name) ?? one) : 0;
    if (there > 0 && there !== mine) different.push(`${one.name} ${there} (source: ${mine})`);
  }
  // The source has more of those that agree so far.
  if (different.length === 0 && table === undefined) different.push("not all of them");
  const which = table === undefined ? different.join(", ") : `other contents of ${table}`;
  return new Pg321Error(
    "usage",
    `${target.label}: holds records already that are not those of the source: ${which}; nothing was changed`,
    { hint: removalHint(target) },
  );
}

function removalHint({ label }: ReadablePlace): string {
  const place = label.replace(/^catalog /, "");
  const how = place.startsWith("postgres:")
    ? `DROP SCHEMA pg321 CASCADE in ${place}`
    : `move ${place}, ${place}-wal and ${place}-shm away`;
  return `copy into a place without a catalog; if nobody needs what is there: ${how}`;
}

/** Somebody else has written to the target, or a value cannot be stored there. */
export function differsError(
  to: string,
  different: readonly TableContent[],
  stored: readonly TableContent[],
): Pg321Error {
  const which = different.map(({ name, rows }) => {
    const there = stored.find((table) => table.name === name)?.rows ?? 0;
    return `${name} (${plural(rows, "record")}, copied ${there})`;
  });
  return new Pg321Error(
    "verification",
    `catalog copy: the copy in ${to} differs from its source: ${which.join(", ")}`,
    { hint: "the copy is not finished and cannot be used; run the command again" },
  );
}
