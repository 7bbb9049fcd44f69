import { Database } from "bun:sqlite";
import postgres from "postgres";
import { GLOBALS_DATABASE } from "../../src/catalog/globals.ts";
import { numbered, valuesOf } from "../../src/catalog/postgres/dialect.ts";
import { Session } from "../../src/catalog/postgres/session.ts";
import type { Row } from "../../src/catalog/sqlite/tables.ts";
import { NeededGlobals } from "../../src/jobs/cleanup/needed-globals.ts";
import { planRun } from "../../src/jobs/cleanup/plan.ts";
import { removeEmptyRecords } from "../../src/jobs/cleanup/remove-records.ts";
import type { JobContext } from "../../src/jobs/context.ts";
import { reconcile } from "../../src/jobs/copies/reconcile.ts";
import { byUrgency } from "../../src/jobs/verify/budget.ts";
import { planRepair } from "../../src/jobs/verify/repair-plan.ts";
import { listBackups } from "../../src/status/list-backups.ts";
import { statusReport } from "../../src/status/status.ts";
import { backupRecord, copyRecord, runRecord } from "./catalog/records.ts";

/** A statement, and the lines of its plan. */
export interface Plan {
  sql: string;
  plan: string[];
  /** PostgreSQL only: the rows that were read, also those that a filter dropped, of the table most of which was read. */
  rowsRead?: { table: string; rows: number };
}

interface Options {
  /** A database with backups. */
  place: { server: string; database: string };
}

/** The first page of each: the others are by the same statements. */
async function begin(pages: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of pages) return;
}

/** Every call that runs often, or whose time would grow with the records. */
const CALLS: Readonly<Record<string, (context: JobContext, options: Options) => Promise<unknown>>> = {
  "/status, /metrics, the page": (context) => statusReport(context),
  "list of a database": (context, { place }) => listBackups(context, { ...place, limit: 50 }),
  "list of all": (context) => listBackups(context, { limit: 50 }),
  "list of a status": (context) => listBackups(context, { status: ["FAILED"], limit: 50 }),
  "an id": ({ catalog }) => catalog.backupsByPrefix("ffff", 2),
  "the charts of a database": async ({ catalog: { overview } }, { place: { server, database } }) => {
    await overview.recentBackups(server, database, 48);
    await overview.backupDays(server, database, new Date(0).toISOString());
  },
  "the newest good backup": ({ catalog, clock }, { place: { server, database } }) =>
    catalog.newestGood(server, database, clock.now()),
  "the latest backups": ({ catalog, clock }) => catalog.overview.latestBackups(clock.now()),
  "the check for shrunk dumps": ({ catalog }, { place }) =>
    catalog.overview.dumpSizes(
      { ...place, kind: "dump" },
      { since: "", before: "9999", limit: 7, selection: "" },
    ),
  "the records of a run": ({ catalog }, { place }) => record(catalog, place),
  reconciliation: (context) => reconcile(context),
  "cleanup: plan": async (context) => {
    const { going } = await planRun(context, crypto.randomUUID(), { confirm: undefined });
    await going[Symbol.asyncDispose]();
  },
  "cleanup: globals for archives": async ({ catalog }, { place: { server } }) => {
    const needed = new NeededGlobals(catalog, server, async () => {});
    await needed.addDump({ run_id: crypto.randomUUID(), started_at: "2026" }, ["vault"]);
    await needed.end();
    const globals = { server, database: GLOBALS_DATABASE, status: ["VERIFIED", "PARTIAL"] } as const;
    await catalog.backups({ ...globals, run_id: crypto.randomUUID(), copy: { states: ["CONFIRMED"] } });
  },
  "cleanup: records without copies": (context) => removeEmptyRecords(context),
  "cleanup: removals that began": ({ catalog }) => begin(catalog.placedCopies(["DELETING", "HIDDEN"])),
  "cleanup: old history": ({ catalog }) => catalog.pruneHistory("2000-01-01T00:00:00.000Z"),
  "repair: plan": (context) => Array.fromAsync(planRepair(context)),
  "verify: every backup": ({ catalog }) => begin(catalog.outlines({})),
  "verify: within a budget": (context) => begin(byUrgency(context, () => true)),
};

async function record(catalog: JobContext["catalog"], place: Options["place"]): Promise<void> {
  const run = runRecord({ started_at: new Date().toISOString() });
  const backup = backupRecord({ ...place, run_id: run.id, started_at: run.started_at });
  await catalog.insertRun(run);
  await catalog.insertBackup(backup);
  await catalog.putCopy(copyRecord(backup, { storage: "disk" }));
  await catalog.updateCopy(backup.id, "disk", { state: "CONFIRMED" });
  await catalog.updateBackup(backup.id, { status: "VERIFIED" });
  await catalog.updateRun(run.id, { outcome: "OK" });
}

/** The plans of all statements of each call. In PostgreSQL they are carried out, and rolled back. */
export async function plansOf(context: JobContext, options: Options): Promise<Record<string, Plan[]>> {
  const { catalog: place } = context.config;
  const plans: Record<string, Plan[]> = {};
  for (const [name, call] of Object.entries(CALLS)) {
    const work = () => call(context, options);
    plans[name] =
      place.type === "sqlite"
        ? sqlitePlans(place.path, await sqliteStatements(work))
        : await postgresPlans(place.url.reveal(), await postgresStatements(work));
  }
  return plans;
}

const IS_RECORDS = /^\s*(SELECT|WITH|INSERT|UPDATE|DELETE|DECLARE)\b/;

async function sqliteStatements(work: () => Promise<unknown>): Promise<string[]> {
  const { query, prepare } = Database.prototype;
  const sent = new Set<string>();
  Database.prototype.query = function recorded(this: Database, sql: string) {
    sent.add(sql);
    return query.call(this, sql);
  } as typeof query;
  Database.prototype.prepare = function recorded(this: Database, sql: string, ...rest: never[]) {
    sent.add(sql);
    return prepare.call(this, sql, ...rest);
  } as typeof prepare;
  try {
    await work();
  } finally {
    Object.assign(Database.prototype, { query, prepare });
  }
  return [...sent].filter((sql) => IS_RECORDS.test(sql));
}

function sqlitePlans(path: string, statements: readonly string[]): Plan[] {
  using database = new Database(path, { readonly: true, strict: true });
  return statements.map((sql) => {
    const lines = database.query<{ detail: string }, []>(`EXPLAIN QUERY PLAN ${sql}`).all();
    return { sql, plan: lines.map(({ detail }) => detail) };
  });
}

interface Sent {
  sql: string;
  values: Row;
}

async function postgresStatements(work: () => Promise<unknown>): Promise<Sent[]> {
  const { execute } = Session.prototype;
  const sent = new Map<string, Sent>();
  Session.prototype.execute = function recorded(this: Session, sql: string, values: Row) {
    // The first page, because the last may be empty.
    if (!sent.has(sql)) sent.set(sql, { sql: sql.replace(/^DECLARE \w+ NO SCROLL CURSOR FOR /, ""), values });
    return execute.call(this, sql, values);
  };
  try {
    await work();
  } finally {
    Session.prototype.execute = execute;
  }
  return [...sent.values()].filter(({ sql }) => IS_RECORDS.test(sql));
}

async function postgresPlans(url: string, statements: readonly Sent[]): Promise<Plan[]> {
  const server = postgres(url, { max: 1, prepare: false, onnotice: () => {} });
  const plans: Plan[] = [];
  try {
    for (const { sql, values } of statements) {
      const statement = numbered(sql);
      // The record is there already: an insertion, which reads nothing but its triggers do, is only planned.
      const analyze = /^\s*INSERT\b/.test(sql) ? "" : "ANALYZE, ";
      const explain = (how: string) =>
        server.unsafe(
          `EXPLAIN (${analyze}${analyze && how === "BUFFERS" ? how : how.replace("BUFFERS", "VERBOSE")}) ${statement.text}`,
          valuesOf(statement, values),
        );
      await server.unsafe("BEGIN; SET LOCAL search_path = pg321; SET LOCAL jit = off");
      const text = await explain("BUFFERS");
      await server.unsafe("ROLLBACK; BEGIN; SET LOCAL search_path = pg321; SET LOCAL jit = off");
      const [json] = await explain("FORMAT JSON");
      await server.unsafe("ROLLBACK");
      plans.push({
        sql,
        plan: text.map((row) => String(row["QUERY PLAN"])),
        rowsRead: mostRead(json?.["QUERY PLAN"][0].Plan),
      });
    }
  } finally {
    await server.end();
  }
  return plans;
}

interface PlanNode {
  "Relation Name"?: string;
  "Actual Rows"?: number;
  "Actual Loops"?: number;
  "Rows Removed by Filter"?: number;
  "Rows Removed by Index Recheck"?: number;
  Plans?: PlanNode[];
}

function mostRead(node: PlanNode): { table: string; rows: number } {
  const { "Rows Removed by Filter": filtered = 0, "Rows Removed by Index Recheck": rechecked = 0 } = node;
  const rows = ((node["Actual Rows"] ?? 0) + filtered + rechecked) * (node["Actual Loops"] ?? 0);
  const own = { table: node["Relation Name"] ?? "", rows: node["Relation Name"] ? rows : 0 };
  return [own, ...(node.Plans ?? []).map(mostRead)].reduce((a, b) => (b.rows > a.rows ? b : a));
}
