import { expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { contextIn, makeCatalog } from "../bench/large-catalog.ts";
import { usePostgres } from "./lab/servers/use-postgres.ts";
import { type Plan, plansOf } from "./suites/catalog-plans.ts";

const BACKUPS = 10_000;
const PLACE = { server: "server-1", database: "database-1" };
/** More than any page, and twice the backups of one database. */
const ROWS_MAX = 1_000;
/** The tables that grow with the backups. */
const BIG = "backups|copies|tombstones|runs|retained_backups";

const postgres = usePostgres();

/** The plans of all calls on a catalog of many backups of few databases. */
async function plansIn(url?: string): Promise<Record<string, Plan[]>> {
  const directory = await mkdtemp(join(tmpdir(), "pg321-plans-"));
  try {
    await makeCatalog(directory, {
      backups: BACKUPS,
      databases: 20,
      servers: 2,
      days: 100,
      ...(url && { url }),
    });
    await using context = await contextIn(directory);
    return await plansOf(context, { place: PLACE });
  } finally {
    await rm(directory, { recursive: true });
  }
}

/** Retention's plan reads its narrow table from one end to the other, one row for each backup. */
const isRetained = (call: string, { sql }: Plan) =>
  call === "cleanup: plan" && sql.includes("FROM retained_backups");

test("SQLite finds what a call needs by an index, whatever the number of backups", async () => {
  const walks: string[] = [];
  for (const [call, plans] of Object.entries(await plansIn())) {
    expect(plans.length).toBeGreaterThan(0);
    for (const plan of plans) {
      const lines = plan.plan.filter((line) => new RegExp(`^SCAN (${BIG})\\b`).test(line));
      // The history of runs is bounded by cleanup.history, and pruned once a day.
      const isHistory = call === "cleanup: old history";
      if (lines.length > 0 && !/\bLIMIT\b/.test(plan.sql) && !isHistory && !isRetained(call, plan))
        walks.push(`${call}: ${lines}: ${plan.sql}`);
    }
  }
  expect(walks).toEqual([]);
}, 60_000);

test("PostgreSQL reads few rows for a call, by the statistics of many backups", async () => {
  const walks: string[] = [];
  const read = new Set<string>();
  for (const [call, plans] of Object.entries(await plansIn(postgres.url(await postgres.createDatabase())))) {
    expect(plans.length).toBeGreaterThan(0);
    for (const plan of plans) {
      const { table = "", rows = 0 } = plan.rowsRead ?? {};
      read.add(table);
      if (rows > ROWS_MAX && !isRetained(call, plan)) walks.push(`${call}: ${rows} of ${table}: ${plan.sql}`);
    }
  }
  expect(walks).toEqual([]);
  for (const table of BIG.split("|").slice(0, 2)) expect([...read]).toContain(table);
}, 60_000);
