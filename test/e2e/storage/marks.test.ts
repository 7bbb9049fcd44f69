import { afterAll, afterEach, beforeAll, beforeEach, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { CreateBucketCommand, DeleteObjectCommand } from "@aws-sdk/client-s3";
import { DAY_MS } from "../../../src/base/limits.ts";
import type { AlertRecord } from "../../../src/catalog/records.ts";
import type { Notice } from "../../../src/notify/notice.ts";
import type { MarkStatus } from "../../../src/status/report.ts";
import { Installation, localStorage, s3Storage } from "../../lab/installation.ts";
import { withCatalog } from "../../lab/leftovers.ts";
import { flippedInTheMiddle, LocalCopies } from "../../lab/local-copies.ts";
import { watched } from "../../lab/machine/running.ts";
import { scrapeOf, valueIn } from "../../lab/scrape.ts";
import { type HttpReceiver, RECEIVERS } from "../../lab/servers/receivers.ts";
import { rgw } from "../../lab/servers/s3.ts";
import { usePostgres } from "../../lab/servers/use-postgres.ts";

/** The five marks on real parts: a directory, a bucket with Object Lock on Ceph, restore tests, the daemon. */

setDefaultTimeout(120_000);
const postgres = usePostgres();
const LOCK = { "lock.mode": "governance", "lock.days": 3, "keep.days": 30, attempts: 1 };

let hook: HttpReceiver;
let bucket: string;
let database: string;
let installation: Installation;
beforeAll(async () => {
  hook = await RECEIVERS.webhook();
});
afterAll(() => hook[Symbol.asyncDispose]());

beforeEach(async () => {
  hook.requests.length = 0;
});

async function install({ isLocked }: { isLocked: boolean }): Promise<void> {
  const lab = await rgw();
  bucket = `marks-${crypto.randomUUID()}`;
  await lab.client.send(new CreateBucketCommand({ Bucket: bucket, ObjectLockEnabledForBucket: isLocked }));
  database = await postgres.createDatabase();
  installation = await Installation.make({
    postgres: postgres.address,
    databases: [database],
    storages: (directory) => [
      localStorage("disk", directory),
      s3Storage("r2", lab, bucket, isLocked ? LOCK : { attempts: 1 }),
    ],
  });
  const socket = join(installation.directory, "http.sock");
  const { config } = hook;
  if (!("url" in config) || typeof config.url === "string") throw new Error("no hook");
  const off = ["backup", "cleanup", "verify", "repair"].map((job) => `${job} = "off"`);
  await installation.configure({
    more: [
      ...["[http]", `listen = "unix:${socket}"`, "[schedule]", ...off],
      ...["[[notify]]", 'name = "ops"', 'type = "webhook"', `url = ${JSON.stringify(config.url.reveal())}`],
    ].join("\n"),
  });
}

afterEach(() => installation[Symbol.asyncDispose]());

async function marks(): Promise<MarkStatus[]> {
  return (await installation.ok("status", "--json")).json.databases[0].marks;
}
const states = async () => (await marks()).map(({ state }) => state).join(" ");
const ruleAlerts = async (): Promise<AlertRecord[]> =>
  (await installation.ok("alerts", "--json")).json.alerts.filter(({ key }: AlertRecord) =>
    key.startsWith("rule "),
  );
/** The notices about problems since the last call. */
function notices(): string[] {
  const received = hook.requests.map(({ body }) => JSON.parse(body) as Notice);
  hook.requests.length = 0;
  return received.filter(({ level }) => level !== "INFO").map(({ event, key }) => `${event} ${key}`);
}

test("a copy that somebody deletes costs three marks, with reason, alert and metric; repair brings them back", async () => {
  await install({ isLocked: false });
  const { backup_id } = (await installation.ok("backup", "--json")).json.backups[0];
  expect(await states()).toBe("held held held not_set_up not_set_up");
  await installation.ok("restore-test");
  expect(await states()).toBe("held held held not_set_up held");
  expect((await installation.ok("status")).stdout).toMatch(
    new RegExp(`^main/${database} +good +3 2 1 - 0 `, "m"),
  );
  const backup = await withCatalog(installation, (catalog) => catalog.backup(backup_id));
  const daemon = watched(installation.start("run"));
  try {
    await daemon.says("the HTTP endpoint is open");
    await loseAndRepair(backup?.object_key ?? "");
  } finally {
    daemon.kill("SIGTERM");
    await daemon.ended;
  }
});

async function loseAndRepair(key: string): Promise<void> {
  notices();

  const { client } = await rgw();
  await client.send(new DeleteObjectCommand({ Bucket: bucket, Key: `pg321/${key}` }));
  expect(await states()).toBe("held held held not_set_up held");
  expect((await installation.run("verify")).exitCode).toBe(14);
  expect(await states()).toBe("lost lost lost not_set_up held");
  expect(await satisfied()).toEqual([0, 0, 0, undefined, 1]);
  const [copies, , offSite] = await marks();
  expect(copies).toMatchObject({
    sentence: "2 of 3 copies: the live database, disk; not in r2 (missing)",
    next_step: "fill the missing copies, with: pg321 repair",
  });
  expect(offSite?.sentence).toBe("no copy off-site; not in r2 (missing)");
  const { stdout } = await installation.ok("status");
  expect(stdout).toContain("  2 of 3 copies: the live database, disk; not in r2 (missing)\n");
  expect(stdout).toMatch(new RegExp(`^main/${database} +partial +x x x - 0 `, "m"));
  expect((await installation.run("status", "--exit-code")).exitCode).toBeGreaterThan(0);
  const [alert] = await ruleAlerts();
  expect(alert).toMatchObject({
    key: `rule main/${database}`,
    level: "WARNING",
    resolved_at: null,
    message: expect.stringContaining('has lost "3 copies", "2 kinds of storage" and "1 off-site"'),
  });
  expect(notices()).toEqual([`raised verify main/${database} r2`]);

  await installation.ok("repair");
  expect(await states()).toBe("held held held not_set_up held");
  expect(await satisfied()).toEqual([1, 1, 1, undefined, 1]);
  expect((await ruleAlerts()).map(({ resolved_at }) => resolved_at !== null)).toEqual([true]);
  const since = (await marks())[0]?.since ?? "";
  expect(since >= (alert?.created_at ?? "9")).toBe(true);
  expect(notices()).toEqual([`resolved verify main/${database} r2`]);
}

/** `pg321_rule_satisfied` of the five marks, as the daemon exports them. */
async function satisfied(): Promise<(number | undefined)[]> {
  const unix = join(installation.directory, "http.sock");
  const scrape = scrapeOf(await (await fetch("http://localhost/metrics", { unix })).text());
  return ["copies", "kinds", "off_site", "immutable", "zero_errors"].map((rule) =>
    valueIn(scrape, "pg321_rule_satisfied", { server: "main", database, rule }),
  );
}

test("a directory that rots costs only the mark 3; a restore test that is too old raises its own alert", async () => {
  await install({ isLocked: true });
  const { backup_id } = (await installation.ok("backup", "--json")).json.backups[0];
  const at = new Date(Date.now() - 40 * DAY_MS).toISOString();
  await withCatalog(installation, (catalog) =>
    catalog.restoreTests.add({
      ...{ id: crypto.randomUUID(), run_id: null, prover: null, backup_id, server: "main", database },
      ...{ backup_started_at: at, storage: "disk", target: "throwaway", outcome: "PASSED", started_at: at },
      ...{ finished_at: at, fetch_ms: 1, restore_ms: 1, check_ms: 1, dump_bytes: 1, checks: [], error: null },
    }),
  );
  notices();
  new LocalCopies(installation, backup_id).damage("disk", flippedInTheMiddle);
  expect((await installation.run("verify")).exitCode).toBe(14);
  expect(await states()).toBe("lost held held held lost");
  expect(notices().sort()).toEqual([`raised rule main/${database}`, `raised verify main/${database} disk`]);
  expect((await ruleAlerts())[0]?.message).toContain('has lost "3 copies" and "0 errors": ');

  await installation.ok("restore-test", "--from", "r2");
  await installation.ok("repair");
  expect(await states()).toBe("held held held held held");
  expect(notices()).toContain(`resolved rule main/${database}`);
});
