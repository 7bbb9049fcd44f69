import { afterEach, beforeEach, expect, test } from "bun:test";
import { type AlertLab, alertLab } from "../../test/lab/alert-context.ts";
import { type HttpReceiver, RECEIVERS } from "../../test/lab/servers/receivers.ts";
import { backupRecord, copyRecord, runRecord } from "../../test/suites/catalog/records.ts";
import type { Job } from "../config/config.ts";
import type { Notice } from "../notify/notice.ts";
import { alertCopies, type CopyOutcome } from "./copy-alerts.ts";
import { deliverAlerts } from "./deliver.ts";

let receiver: HttpReceiver;
let lab: AlertLab;
const backups = Object.fromEntries(
  ["a", "b"].map((database) => [database, backupRecord({ database, status: "VERIFIED" })]),
);
beforeEach(async () => {
  receiver = await RECEIVERS.webhook();
  lab = await alertLab(receiver.config);
  for (const backup of Object.values(backups)) {
    await lab.catalog.insertBackup(backup);
    for (const storage of ["disk", "other"])
      await lab.catalog.putCopy(copyRecord(backup, { storage, state: "CONFIRMED" }));
  }
});
afterEach(async () => {
  await lab[Symbol.asyncDispose]();
  await receiver[Symbol.asyncDispose]();
});

const outcome = (database: string, storage: string, error: string | null = null): CopyOutcome => ({
  ...{ backup_id: backups[database]?.id ?? "", server: "main", database, storage },
  isGood: error === null,
  kind: error === null ? "good" : "damaged",
  error,
});

/** In pages that divide the copies of a place. */
async function* pagesOf(outcomes: readonly CopyOutcome[], size = 1): AsyncGenerator<CopyOutcome[]> {
  for (let from = 0; from < outcomes.length; from += size) yield outcomes.slice(from, from + size);
}

async function told(job: Job, ...outcomes: CopyOutcome[]): Promise<string[]> {
  receiver.requests.length = 0;
  await alertCopies(lab, runRecord({ job, outcome: "PARTIAL" }), pagesOf(outcomes), () => ({
    text: "are not good",
    hint: "",
  }));
  await deliverAlerts(lab);
  return notices().map(({ event, level, key }) => `${event} ${level} ${key}`);
}

function notices(): Notice[] {
  return receiver.requests.map(({ body }) => JSON.parse(body));
}

const AWAY = 'storage "disk": no answer';
const good = (...storages: string[]) =>
  storages.flatMap((storage) => ["a", "b"].map((database) => outcome(database, storage)));
const away = (...databases: string[]) => databases.map((database) => outcome(database, "disk", AWAY));

test("a missing storage is one alert of a verification, and a later good one ends it", async () => {
  expect(await told("verify", ...good("other"), ...away("a", "b"))).toEqual([
    "raised WARNING verify storage disk",
  ]);
  expect(notices()[0]).toMatchObject({
    message: `2 copies of 2 databases in disk are not good: ${AWAY}`,
    metadata: { storage: "disk", databases: ["main/a", "main/b"] },
  });
  expect(await told("verify", ...good("other"), ...away("a", "b"))).toEqual([]);
  expect(await told("verify", ...good("other"), outcome("a", "disk"))).toEqual([]);
  expect(await told("verify", ...good("other"), outcome("b", "disk"))).toEqual([
    "resolved WARNING verify storage disk",
  ]);
});

test("damage of one database is an alert of its own, beside good copies of others", async () => {
  expect(await told("verify", ...good("other"), outcome("a", "disk"), ...away("b"))).toEqual([
    "raised WARNING verify main/b disk",
  ]);
});

test("it does not end while a copy is recorded as damaged; a repair ends what a verification found", async () => {
  await told("verify", ...good("other"), ...away("a", "b"));
  const damaged = backups["a"]?.id ?? "";
  await lab.catalog.updateCopy(damaged, "disk", { state: "DAMAGED" });
  expect(await told("verify", ...good("other", "disk"))).toEqual([]);
  await lab.catalog.updateCopy(damaged, "disk", { state: "CONFIRMED" });
  expect(await told("repair", outcome("a", "disk"))).toEqual(["resolved WARNING verify storage disk"]);
});

test("a single copy is named as such, and the hint of its storage is the next step for a whole storage", async () => {
  await told("verify", ...good("other"), ...away("b"));
  expect(notices()[0]?.message).toBe(`the copy of main/b in disk are not good: ${AWAY}`);
  const hint = "mount the disk";
  await told("verify", ...good("other"), ...away("a", "b").map((one) => ({ ...one, hint })));
  expect(notices()[0]?.metadata["hint"]).toBe("mount the disk; then run: pg321 verify");
});

test("of very many bad copies an alert counts all, names some, and knows what is wrong with them", async () => {
  await lab.catalog.updateBackup(backups["b"]?.id ?? "", { status: "FAILED" });
  const bad = Array.from({ length: 3_000 }, (_, n) => ({
    ...outcome("a", "disk", `error ${n}`),
    kind: n === 2_999 ? "missing" : "damaged",
  }));
  const kinds: string[][] = [];
  const all = [outcome("a", "disk"), ...bad, outcome("b", "disk", "error of b")];
  const run = runRecord({ job: "verify", outcome: "PARTIAL" });
  await alertCopies(lab, run, pagesOf(all, 500), (some, count) => {
    kinds.push([...some, String(count)]);
    return { text: "are bad", hint: "" };
  });
  await deliverAlerts(lab);
  expect(kinds).toEqual([
    ["damaged", "missing", "3000"],
    ["damaged", "1"],
  ]);
  const [first, second] = notices().sort((a, b) => a.key.localeCompare(b.key));
  expect(first?.message).toBe("3000 of 3,001 copies of main/a in disk are bad: error 0");
  expect(first?.metadata).toMatchObject({ lost: 0, backup_ids: Array(20).fill(backups["a"]?.id) });
  expect(second?.message).toBe(
    "the copy of main/b in disk are bad; 1 backup has no good copy left: error of b",
  );
});
