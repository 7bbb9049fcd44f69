import type { Clock } from "../../base/clock.ts";
import { Pg321Error } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import type { CatalogConfig } from "../../config/config.ts";
import type { Catalog } from "../catalog.ts";
import { type Held, holdLease, isHeld } from "../lease.ts";
import { catalogText, openCatalog } from "../open.ts";
import { unfinishedError } from "../sqlite/migration/unfinished.ts";
import type { Row } from "../sqlite/tables.ts";
import {
  ContentHash,
  catalogHash,
  contentOf,
  pagesOf,
  requireAll,
  rowText,
  type TableContent,
} from "./content.ts";
import {
  differsError,
  otherContentError,
  refuseOtherInstallation,
  refuseSamePlace,
  type Standing,
  standingOf,
} from "./judge.ts";
import { type CopiedTable, type CopyTarget, type ReadablePlace, sharedTables } from "./place.ts";
import { fillPlace, readPlace } from "./places.ts";

export interface CopyRequest {
  from: CatalogConfig;
  to: CatalogConfig;
  clock: Clock;
  log: Log;
  signal: AbortSignal;
  host: string;
  /** Gets the number of records that are done, of those of all tables. */
  onProgress: (work: "copy" | "compare", done: number, total: number) => void;
}

export interface CopyReport {
  /**
   * `copied`: from the beginning; `resumed`: the rest of an unfinished copy; `started_over`: the source had changed since
   * it was begun; `identical`: there was nothing to do.
   */
  outcome: "copied" | "resumed" | "started_over" | "identical";
  /** Places without a login. */
  from: string;
  to: string;
  tables: TableContent[];
  rows: number;
  /** Of both catalogs. */
  sha256: string;
  /** Hosts whose daemons still use the source: what they record from now on is not in the copy. */
  daemons: string[];
}

/** A copy that was begun: the rows that are there already, which are the first ones of the source. */
interface Begun {
  hash: ContentHash;
  after: Row | undefined;
}

/** Copies every record, compares both catalogs, and only then makes the copy a catalog that can be opened. */
export async function copyCatalog(request: CopyRequest): Promise<CopyReport> {
  const { from, to, clock, log, signal, host } = request;
  await refuseSamePlace(from, to, clock);
  // Before anything is opened that would create or upgrade it.
  await (await requireSource(from, clock))[Symbol.asyncDispose]();
  await using sourceCatalog = await openCatalog(from, { clock, log });
  await using lease = await holdSource(from, sourceCatalog, request);
  const daemons = lease ? [] : await livingDaemons(sourceCatalog, clock);
  await using source = await requireSource(from, clock);
  const before = await judgeTarget(request, source);
  const report = { from: catalogText(from), to: catalogText(to), daemons };
  if (before.state === "identical") return { ...report, outcome: "identical", ...before.content };
  await using targetCatalog = await openCatalog(to, { clock, log, isCopying: true });
  const holder = { runId: crypto.randomUUID(), host, pid: process.pid };
  await using copying = await holdLease(
    targetCatalog,
    { name: "catalog copy", ...holder },
    { clock, signal: lease?.signal ?? signal },
  );
  await using target = await fillPlace(to, clock);
  // Another copy may have ended meanwhile.
  const now = await judgeTarget(request, source);
  if (now.state === "identical") return { ...report, outcome: "identical", ...now.content };
  const tables = await sharedTables(source, { kind: to.type });
  if (now.state !== "unfinished")
    await target.begin({ source: source.label, begun_at: clock.now().toISOString() });
  const work = { ...request, signal: copying.signal };
  const begun = await begunCopy(to, source, tables, work);
  if (begun === "changed") await target.clear(tables);
  const copied = await fill(source, target, tables, begun === "changed" ? new Map() : begun, work);
  await derive(to, target, tables, work);
  const stored = await contentIn(to, tables, work);
  const different = copied.filter(({ sha256 }, index) => stored[index]?.sha256 !== sha256);
  if (different.length > 0) throw differsError(report.to, different, stored);
  if (from.type === "sqlite") await refuseChanged(from, copied, work);
  await target.finish(await source.leaseToken());
  const outcome = begun === "changed" ? "started_over" : now.state === "unfinished" ? "resumed" : "copied";
  return { ...report, outcome, ...summary(copied) };
}

function summary(tables: TableContent[]): Pick<CopyReport, "tables" | "rows" | "sha256"> {
  return { tables, rows: tables.reduce((sum, { rows }) => sum + rows, 0), sha256: catalogHash(tables) };
}

export async function requireSource(from: CatalogConfig, clock: Clock): Promise<ReadablePlace> {
  const source = await readPlace(from, clock);
  if (!source)
    throw new Pg321Error("usage", `catalog copy: there is no catalog in ${catalogText(from)}`, {
      hint: "name the catalog to copy with --from",
    });
  if (!source.unfinished) return source;
  await source[Symbol.asyncDispose]();
  throw unfinishedError(source.label, source.unfinished);
}

/**
 * Nothing else may write to a file while it is copied: what it recorded would be lost. A catalog in PostgreSQL is read
 * in a snapshot, beside the daemons.
 */
async function holdSource(
  from: CatalogConfig,
  catalog: Catalog,
  { clock, signal, host }: CopyRequest,
): Promise<Held | undefined> {
  if (from.type !== "sqlite") return undefined;
  const now = (await catalog.leaseTime(clock)).toISOString();
  const busy = (await catalog.leases()).find((lease) => lease.name !== "daemon" && isHeld(lease, now));
  if (busy)
    throw new Pg321Error(
      "locked",
      `catalog copy: ${catalogText(from)} is in use: ${busy.name}, run ${busy.run_id} (pid ${busy.pid} on ${busy.host})`,
      { hint: "wait until that run has ended, and stop the service", retryable: true },
    );
  return await holdLease(
    catalog,
    { name: "daemon", runId: crypto.randomUUID(), host, pid: process.pid },
    { clock, signal },
  );
}

/** The hosts whose daemons use the catalog. */
async function livingDaemons(catalog: Catalog, clock: Clock): Promise<string[]> {
  const now = (await catalog.leaseTime(clock)).toISOString();
  return (await catalog.leases())
    .filter((lease) => /^daemon( |$)/.test(lease.name) && isHeld(lease, now))
    .map(({ host }) => host);
}

type Judged =
  | { state: "new" | "empty" | "unfinished" }
  | { state: "identical"; content: Pick<CopyReport, "tables" | "rows" | "sha256"> };

/** What is in the target. Throws code `usage` if that is anything but a part of the source. */
export async function judgeTarget(
  { to, clock }: Pick<CopyRequest, "to" | "clock">,
  source: ReadablePlace,
): Promise<Judged> {
  await using target = await readPlace(to, clock);
  if (!target) return { state: "new" };
  await refuseOtherInstallation(source, target);
  const found: Standing = await standingOf(source, target);
  if (found === "empty" || found === "unfinished") return { state: found };
  if (found === "other") throw await otherContentError(source, target);
  const tables = await sharedTables(source, target);
  const contents: TableContent[] = [];
  for (const table of tables) {
    const content = await contentOf(source, table, () => {});
    const there = await contentOf(target, table, () => {});
    if (content.sha256 !== there.sha256) throw await otherContentError(source, target, table.name);
    contents.push(content);
  }
  return { state: "identical", content: summary(contents) };
}

/** What an unfinished copy has; "changed" if its rows are no longer the first ones of the source. */
async function begunCopy(
  to: CatalogConfig,
  source: ReadablePlace,
  tables: readonly CopiedTable[],
  { clock, signal, log }: CopyRequest,
): Promise<Map<string, Begun> | "changed"> {
  await using target = await readPlace(to, clock);
  const found = new Map<string, Begun>();
  for (const table of target ? tables : []) {
    const begun: Begun = { hash: new ContentHash(table), after: undefined };
    for await (const there of target ? pagesOf(target, table) : []) {
      signal.throwIfAborted();
      const same = await source.page(table, begun.after, there.length);
      const isSame = there.every((row, index) => {
        const other = same[index];
        return other !== undefined && rowText(table, row) === rowText(table, other);
      });
      if (!isSame) {
        log.warning("the source has changed since the copy was begun: the copy starts over", {
          table: table.name,
        });
        return "changed";
      }
      begun.hash.add(same);
      begun.after = same.at(-1);
    }
    if (begun.hash.rows > 0) found.set(table.name, begun);
  }
  return found;
}

async function fill(
  source: ReadablePlace,
  target: CopyTarget,
  tables: readonly CopiedTable[],
  begun: ReadonlyMap<string, Begun>,
  { signal, onProgress }: CopyRequest,
): Promise<TableContent[]> {
  let total = 0;
  for (const table of tables) total += await source.count(table);
  let done = [...begun.values()].reduce((sum, { hash }) => sum + hash.rows, 0);
  const contents: TableContent[] = [];
  for (const table of tables) {
    const { hash, after } = begun.get(table.name) ?? { hash: new ContentHash(table), after: undefined };
    for await (const rows of pagesOf(source, table, after)) {
      signal.throwIfAborted();
      await target.insert(table, rows);
      hash.add(rows);
      done += rows.length;
      onProgress("copy", done, total);
    }
    await requireAll(source, table, hash.rows);
    contents.push(hash.content());
  }
  return contents;
}

/** Makes the table that is not copied, page by page of the backups that it is about. */
async function derive(
  to: CatalogConfig,
  target: CopyTarget,
  tables: readonly CopiedTable[],
  { clock, signal }: CopyRequest,
): Promise<void> {
  await using copied = await readPlace(to, clock);
  const backups = tables.find(({ name }) => name === "backups");
  let after = "";
  for await (const rows of copied && backups ? pagesOf(copied, backups) : []) {
    signal.throwIfAborted();
    const until = String(rows.at(-1)?.["id"]);
    await target.derive(after, until);
    after = until;
  }
}

/**
 * Commands work beside a daemon's lease, which is held: a file that one of them has written to since it was read would
 * be more than its copy.
 */
async function refuseChanged(
  from: CatalogConfig,
  copied: readonly TableContent[],
  work: CopyRequest,
): Promise<void> {
  await using source = await requireSource(from, work.clock);
  const now = await contentIn(from, await sharedTables(source, { kind: work.to.type }), work);
  const changed = copied.filter(({ sha256 }, index) => now[index]?.sha256 !== sha256);
  if (changed.length === 0) return;
  const names = changed.map(({ name }) => name).join(", ");
  throw new Pg321Error(
    "locked",
    `catalog copy: ${catalogText(from)} has changed since it was read: ${names}; the copy is not finished`,
    {
      hint: "stop all commands that use it (cron, other terminals), and start the copy again",
      retryable: true,
    },
  );
}

/** What a catalog holds, read again. */
async function contentIn(
  to: CatalogConfig,
  tables: readonly CopiedTable[],
  { clock, signal, onProgress }: CopyRequest,
): Promise<TableContent[]> {
  await using target = await readPlace(to, clock);
  if (!target) return [];
  let total = 0;
  for (const table of tables) total += await target.count(table);
  let done = 0;
  const contents: TableContent[] = [];
  for (const table of tables)
    contents.push(
      await contentOf(target, table, (rows) => {
        signal.throwIfAborted();
        done += rows;
        onProgress("compare", done, total);
      }),
    );
  return contents;
}
