import { expect, test } from "bun:test";
import { raiseAlert } from "../../../src/alerts/alert.ts";
import { DAY_MS, HOUR_MS } from "../../../src/base/limits.ts";
import type { CopyState, RestoreTestRecord } from "../../../src/catalog/records.ts";
import { renderMetrics } from "../../../src/http/metrics/metrics.ts";
import { settleMarks } from "../../../src/status/rule-changes.ts";
import { statusReport } from "../../../src/status/status.ts";
import { lockPlace } from "../../../src/storage/immutability.ts";
import { LOCAL, S3, SERVER } from "../../fixtures/config-file.ts";
import { alertRequest } from "../../lab/alert-context.ts";
import { app, backUp, hoursAgo, see } from "../../lab/backed-up.ts";
import { type EndpointLab, endpointLab } from "../../lab/endpoint.ts";
import { scrapeOf, valueIn } from "../../lab/scrape.ts";

/** A directory, and a bucket elsewhere that locks its copies; backups every day at 01:00. */
async function lab(more = ""): Promise<EndpointLab> {
  const bucket = `${S3}provider = "aws"\nregion = "x"\nlock = { mode = "compliance", days = 7 }\n`;
  const made = await endpointLab({
    parts: SERVER + LOCAL + bucket,
    more: `${more}\n[schedule]\nbackup = "0 1 * * *"\n`,
  });
  await see(made, "app");
  return made;
}

/** A backup of two hours ago, its copy in the bucket locked for seven days. */
async function locked(made: EndpointLab, state: CopyState = "CONFIRMED", hours = 2) {
  const backup = await backUp(made, hours, { disk: "CONFIRMED", bucket: state });
  const [lock_place = null] = made.context.config.storage.flatMap((one) => lockPlace(one) ?? []);
  const lock = { locked_until: hoursAgo(hours - 7 * 24), lock_mode: "compliance", lock_place } as const;
  await made.context.catalog.updateCopy(backup.id, "bucket", lock);
  return backup;
}

async function restoreTest({ context }: EndpointLab, part: Partial<RestoreTestRecord> = {}): Promise<void> {
  await context.catalog.restoreTests.add({
    id: crypto.randomUUID(),
    run_id: null,
    prover: null,
    backup_id: crypto.randomUUID(),
    server: "main",
    database: "app",
    backup_started_at: hoursAgo(2),
    storage: "disk",
    target: "throwaway",
    outcome: "PASSED",
    started_at: hoursAgo(1),
    finished_at: hoursAgo(1),
    fetch_ms: 1,
    restore_ms: 1,
    check_ms: 1,
    dump_bytes: 9,
    checks: [],
    error: null,
    ...part,
  });
}

const states = async (made: EndpointLab) => (await app(made)).marks.map(({ state }) => state).join(" ");
const alerts = async ({ context }: EndpointLab) =>
  (await context.catalog.alerts({ open: true })).map(({ key, message }) => `${key}: ${message}`);

test("all five marks come from the records of the newest good backup and the last restore test", async () => {
  await using made = await lab();
  expect(await states(made)).toBe("not_set_up not_set_up not_set_up not_set_up not_set_up");
  await locked(made);
  expect(await states(made)).toBe("held held held held not_set_up");
  await restoreTest(made);
  expect(await states(made)).toBe("held held held held held");
  // A newer backup that lacks its copy in the bucket: the older copies there do not help.
  await locked(made, "FAILED", 1);
  expect(await states(made)).toBe("lost lost lost lost held");
});

test("since when is recorded as soon as a mark changes, and the status shows it", async () => {
  await using made = await lab();
  const backup = await locked(made);
  await settleMarks(made.context);
  await made.clock.advance(HOUR_MS);
  expect((await app(made)).marks[0]).toMatchObject({ rule: "copies", state: "held", since: hoursAgo(0) });
  await made.context.catalog.updateCopy(backup.id, "bucket", { state: "DAMAGED" });
  await settleMarks(made.context);
  await made.clock.advance(HOUR_MS);
  await settleMarks(made.context);
  expect((await app(made)).marks.map(({ state, since }) => [state, since])).toEqual([
    ...Array(4).fill(["lost", hoursAgo(-1)]),
    ["not_set_up", hoursAgo(0)],
  ]);
  expect(await alerts(made)).toEqual([
    expect.stringMatching(
      /^rule main\/app: main\/app has lost "3 copies", "2 kinds of storage", "1 off-site" and "1 immutable": 2 of 3 copies: the live database, disk; not in bucket \(damaged\)$/,
    ),
  ]);
  await made.context.catalog.updateCopy(backup.id, "bucket", { state: "CONFIRMED" });
  await settleMarks(made.context);
  expect(await alerts(made)).toEqual([]);
  expect((await app(made)).marks[0]).toMatchObject({ state: "held", since: hoursAgo(-2) });
});

test("a test on another host counts only as long as its signer is trusted", async () => {
  const [own, other] = ["a", "b"].map((letter) => letter.repeat(44));
  await using made = await lab();
  await locked(made);
  await restoreTest(made, { outcome: "FAILED", finished_at: hoursAgo(3) });
  await restoreTest(made, { prover: own ?? "" });
  await restoreTest(made, { prover: other ?? "", outcome: "FAILED", finished_at: hoursAgo(0.5) });
  const trusting = async (...trusted_provers: (string | undefined)[]) => {
    made.context.config.rule.trusted_provers = trusted_provers.map(String);
    return (await app(made)).marks[4];
  };
  expect(await trusting()).toMatchObject({ state: "lost", sentence: expect.stringMatching(/UTC failed$/) });
  expect(await trusting(own)).toMatchObject({
    state: "held",
    sentence:
      "the restore test of 2026-11-22 23:00 UTC on another host (signer aaaaaaaaaaaa…) found no error",
  });
  expect(await trusting(own, other)).toMatchObject({ state: "lost" });
});

test("time alone loses marks: a lock ends, a backup and a restore test become too old", async () => {
  await using made = await lab('[rule]\nrestore_test_max_age = "3d"');
  await locked(made);
  await restoreTest(made);
  await settleMarks(made.context);
  await made.clock.advance(2 * DAY_MS);
  expect(await states(made)).toBe("lost held held held held");
  await made.clock.advance(8 * DAY_MS);
  await settleMarks(made.context);
  // Although nobody looked for days, each dates from the moment that lost it.
  expect((await app(made)).marks.map(({ state, since }) => [state, since])).toEqual([
    ["lost", hoursAgo(2 - 48)],
    ["held", hoursAgo(0)],
    ["held", hoursAgo(0)],
    ["lost", hoursAgo(2 - 7 * 24)],
    ["lost", hoursAgo(1 - 3 * 24)],
  ]);
});

test("the live database counts unless the last backup run could not ask its server", async () => {
  await using made = await lab();
  await locked(made);
  const request = alertRequest({ key: "backup main", server: "main", database: null, message: "refused" });
  await raiseAlert(made.context, request);
  expect(await states(made)).toBe("lost held held held not_set_up");
  expect((await app(made)).marks[0]?.sentence).toContain("the last backup did not see the live database");
});

test("a database that is gone has no marks, and its records and its alert end", async () => {
  await using made = await lab();
  const backup = await locked(made);
  await made.context.catalog.updateCopy(backup.id, "bucket", { state: "MISSING" });
  await settleMarks(made.context);
  expect(await alerts(made)).toHaveLength(1);
  await see(made);
  await settleMarks(made.context);
  expect((await app(made)).marks).toEqual([]);
  expect(await made.context.catalog.ruleMarks.list()).toEqual([]);
  expect(await alerts(made)).toEqual([]);
});

test("what the config does not demand is neither lost nor held", async () => {
  await using made = await lab("[rule]\ncopies = 2\noff_site = 0\nimmutable = 0\nzero_errors = false");
  await backUp(made, 2, { disk: "CONFIRMED", bucket: "DAMAGED" });
  expect(await states(made)).toBe("held lost not_demanded not_demanded not_demanded");
  const report = await statusReport(made.context, made.live);
  const source = { runTotals: [], backupStorages: ["disk", "bucket"], log: made.context.log };
  const scrape = scrapeOf(await renderMetrics(report, source));
  const value = (rule: string) =>
    valueIn(scrape, "pg321_rule_satisfied", { server: "main", database: "app", rule });
  expect([value("copies"), value("kinds")]).toEqual([1, 0]);
  expect(scrape.series.filter(({ name }) => name === "pg321_rule_satisfied")).toHaveLength(2);
});

test("a catalog that cannot be read fails nobody", async () => {
  await using made = await lab();
  await settleMarks({ ...made.context, catalog: { ...made.context.catalog } } as typeof made.context);
});
