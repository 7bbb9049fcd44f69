import { expect, test } from "bun:test";
import { type AlertLab, alertLab, alertRequest } from "../../test/lab/alert-context.ts";
import { RECEIVERS } from "../../test/lab/servers/receivers.ts";
import { raiseAlert, resolveAlert } from "./alert.ts";
import { alertLock } from "./lock-alerts.ts";
import { alertRule, type LostMarks } from "./rule-alerts.ts";

async function lab(): Promise<AlertLab> {
  await using receiver = await RECEIVERS.webhook();
  return alertLab(receiver.absent);
}

const lost = (database: string, ...rules: string[]): LostMarks => ({
  ...{ server: "main", database, rules, immutableCopies: [{ storage: "r2", isGood: true }] },
  message: `main/${database} has lost ${rules.join()}`,
  hint: "pg321 repair",
});
const judge = (alerts: AlertLab, ...marks: LostMarks[]) =>
  alertRule(alerts, marks, (name) => `${name} is well`);
/** The notices about lost marks so far: `raised rule main/app`. */
const told = async (alerts: AlertLab) =>
  (await alerts.catalog.deliveries({}))
    .map(({ notice }) => `${notice["event"]} ${notice["key"]}: ${notice["resolution"] ?? notice["message"]}`)
    .filter((text) => / rule /.test(text));
const open = async (alerts: AlertLab) =>
  (await alerts.catalog.alerts({ open: true }))
    .map(({ key }) => key)
    .filter((key) => key.startsWith("rule "))
    .sort();

test("one notice when a mark is lost, none while it stays lost, one when it is back", async () => {
  await using alerts = await lab();
  await judge(alerts);
  await judge(alerts, lost("app", "off_site"));
  await judge(alerts, lost("app", "off_site"));
  const [alert] = await alerts.catalog.alerts({});
  expect(alert).toMatchObject({
    ...{ key: "rule main/app", level: "WARNING", server: "main", database: "app", count: 1 },
    metadata: { lost: { "main/app": ["off_site"] }, hint: "pg321 repair" },
  });
  expect(alert?.remind_at).not.toBeNull();
  await judge(alerts);
  expect(await told(alerts)).toEqual([
    "raised rule main/app: main/app has lost off_site",
    "resolved rule main/app: main/app is well",
  ]);
  expect(await open(alerts)).toEqual([]);
});

test("a further mark is a new notice, one that is back while another is lost is not", async () => {
  await using alerts = await lab();
  await judge(alerts, lost("app", "off_site"));
  await judge(alerts, lost("app", "off_site", "immutable"));
  await judge(alerts, lost("app", "immutable"));
  expect(await told(alerts)).toEqual([
    "raised rule main/app: main/app has lost off_site",
    "raised rule main/app: main/app has lost off_site,immutable",
  ]);
  expect(await alerts.catalog.alerts({ open: true })).toMatchObject([
    { message: "main/app has lost immutable", metadata: { lost: { "main/app": ["immutable"] } } },
  ]);
});

test.each([
  ["verify main/app r2", { server: "main", database: "app" }],
  ["backup main/app", { server: "main", database: "app" }],
  ["backup main", { server: "main", database: null }],
  ["repair storage r2", { server: null, database: null, metadata: { databases: ["main/app"] } }],
])("while %s is open, the lost mark is recorded, and nobody gets a second notice", async (key, about) => {
  await using alerts = await lab();
  await raiseAlert(alerts, alertRequest({ key, level: "WARNING", ...about }));
  await judge(alerts, lost("app", "copies"));
  await judge(alerts, lost("app", "copies"));
  expect(await open(alerts)).toEqual(["rule main/app"]);
  const [alert] = await alerts.catalog.alerts({ key: "rule main/app" });
  expect(alert).toMatchObject({ remind_at: null, count: 1, acknowledged_at: expect.any(String) });
  await resolveAlert(alerts, key, "well again");
  await judge(alerts);
  expect(await open(alerts)).toEqual([]);
  expect(await told(alerts)).toEqual([]);
});

test.each([
  ["verify main/app r2", "zero_errors"],
  ["restore_test main/app", "copies"],
  ["verify main/other r2", "copies"],
  ["shrunk main/app", "copies"],
  ["lock storage r2", "copies"],
])("%s is not the cause of lost %s", async (key, rule) => {
  await using alerts = await lab();
  const [, database = ""] = /main\/(\w+)/.exec(key) ?? [];
  await raiseAlert(alerts, alertRequest({ key, server: "main", database }));
  await judge(alerts, lost("app", rule));
  expect(await told(alerts)).toEqual([`raised rule main/app: main/app has lost ${rule}`]);
});

test("a storage that does not lock copies is the cause of a lost immutable copy, whatever the database", async () => {
  await using alerts = await lab();
  await alertLock(alerts, "backup", { name: "r2" }, "its bucket has no Object Lock");
  await judge(alerts, lost("app", "immutable"));
  expect(await told(alerts)).toEqual([]);
});

test.each([
  ["lock storage b2", {}],
  ["verify main/app disk", { metadata: { storage: "disk" } }],
  ["repair main/app disk", { metadata: { storage: "disk" } }],
  ["repair storage disk", { server: null, database: null, metadata: { databases: ["main/app"] } }],
  ["backup main/app", {}],
])("%s is not the cause of a lost immutable copy in another storage", async (key, about) => {
  await using alerts = await lab();
  await raiseAlert(alerts, alertRequest({ key, level: "WARNING", ...about }));
  await judge(alerts, lost("app", "immutable"));
  expect(await told(alerts)).toEqual(["raised rule main/app: main/app has lost immutable"]);
  const [alert] = await alerts.catalog.alerts({ key: "rule main/app" });
  expect(alert?.acknowledged_at).toBeNull();
});

test.each([
  ["verify main/app r2", { metadata: { storage: "r2" } }],
  ["repair storage r2", { server: null, database: null, metadata: { databases: ["main/app"] } }],
  ["backup main/app", {}],
])("%s is the cause if the immutable copy is not good", async (key, about) => {
  await using alerts = await lab();
  await raiseAlert(alerts, alertRequest({ key, level: "WARNING", ...about }));
  const immutableCopies = [{ storage: "r2", isGood: false }];
  await judge(alerts, { ...lost("app", "immutable"), immutableCopies });
  expect(await told(alerts)).toEqual([]);
});

test("a mark that is still lost when its cause is over gets its notice then", async () => {
  await using alerts = await lab();
  await raiseAlert(alerts, alertRequest({ key: "backup main/app" }));
  await judge(alerts, lost("app", "copies"));
  await resolveAlert(alerts, "backup main/app", "well again");
  await judge(alerts, lost("app", "copies"));
  await judge(alerts);
  expect(await told(alerts)).toEqual([
    "raised rule main/app: main/app has lost copies",
    "resolved rule main/app: main/app is well",
  ]);
});

test("many databases that lose marks at once share one alert, until each is well", async () => {
  await using alerts = await lab();
  await judge(alerts, lost("a", "copies"));
  const many = ["a", "b", "c", "d", "e"].map((name) => lost(name, "copies"));
  await judge(alerts, ...many);
  expect(await open(alerts)).toEqual(["rule databases", "rule main/a"]);
  await judge(alerts, ...many.slice(1, 4));
  expect(await open(alerts)).toEqual(["rule databases"]);
  const [group] = await alerts.catalog.alerts({ key: "rule databases" });
  expect(group).toMatchObject({
    message: "3 databases have lost marks of 3-2-1-1-0: main/b, main/c, main/d; main/b has lost copies",
    metadata: { databases: ["main/b", "main/c", "main/d"] },
  });
  await alerts.clock.advance(1000);
  // One more of its databases gets an alert of its own.
  await judge(alerts, lost("b", "copies"), lost("c", "copies", "kinds"));
  expect(await open(alerts)).toEqual(["rule databases", "rule main/c"]);
  await judge(alerts);
  expect(await open(alerts)).toEqual([]);
  expect(await told(alerts)).toEqual([
    "raised rule main/a: main/a has lost copies",
    "raised rule databases: 4 databases have lost marks of 3-2-1-1-0: main/b, main/c, main/d and 1 other; main/b has lost copies",
    "resolved rule main/a: main/a is well",
    "raised rule main/c: main/c has lost copies,kinds",
    "resolved rule main/c: main/c is well",
    "resolved rule databases: main/b is well",
  ]);
});
