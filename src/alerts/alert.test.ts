import { expect, test } from "bun:test";
import type { AlertLab } from "../../test/lab/alert-context.ts";
import { alertLab, alertRequest } from "../../test/lab/alert-context.ts";
import { RECEIVERS } from "../../test/lab/servers/receivers.ts";
import { HOUR_MS } from "../base/limits.ts";
import type { AlertRequest } from "./alert.ts";
import { raiseAlert, resolveAlert } from "./alert.ts";
import { deliverAlerts } from "./deliver.ts";

const KEY = "backup main/app";

const raise = (lab: AlertLab, change: Partial<AlertRequest> = {}) => raiseAlert(lab, alertRequest(change));
/** The queued notices in order, as `raised CRITICAL 1`. */
const queued = async (lab: AlertLab) =>
  (await lab.catalog.deliveries({})).map(
    ({ notice }) => `${notice["event"]} ${notice["level"]} ${notice["count"]}`,
  );

async function lab(): Promise<AlertLab> {
  await using receiver = await RECEIVERS.webhook();
  return alertLab(receiver.absent);
}

test("a problem that repeats is one alert with a count and one notice", async () => {
  await using alerts = await lab();
  await raise(alerts, { run_id: "run-1" });
  await alerts.clock.advance(60_000);
  await raise(alerts, { run_id: "run-2", message: "another reason", metadata: { tries: 2 } });
  expect(await alerts.catalog.alerts({})).toMatchObject([
    {
      key: KEY,
      count: 2,
      run_id: "run-2",
      message: "another reason",
      metadata: { tries: 2 },
      created_at: "2026-11-23T00:00:00.000Z",
      last_at: "2026-11-23T00:01:00.000Z",
      resolved_at: null,
    },
  ]);
  expect(await queued(alerts)).toEqual(["raised CRITICAL 1"]);
  await raise(alerts, { key: "backup main/shop", database: "shop" });
  expect(await queued(alerts)).toHaveLength(2);
});

test("reminders come at growing intervals and end with the problem, which gets a last notice", async () => {
  await using alerts = await lab();
  await raise(alerts);
  const remindedAt: number[] = [];
  for (let hour = 1; hour <= 40 * 24; hour++) {
    await alerts.clock.advance(HOUR_MS);
    const before = (await queued(alerts)).length;
    await deliverAlerts(alerts);
    if ((await queued(alerts)).length > before) remindedAt.push(hour);
  }
  expect(remindedAt).toEqual([1, 3, 7, 15, 31, 63, 127, 255, 423, 591, 759, 927]);
  await resolveAlert(alerts, KEY, "all is well again");
  expect((await queued(alerts)).at(-1)).toBe("resolved CRITICAL 1");
  await alerts.clock.advance(100 * 24 * HOUR_MS);
  const before = await queued(alerts);
  await deliverAlerts(alerts);
  expect(await queued(alerts)).toEqual(before);
});

test("an alert raised while the clock was ahead gets a reminder once the clock is right again", async () => {
  await using alerts = await lab();
  const now = () => alerts.clock.now();
  const nextYear = new Date(now().getTime() + 365 * 24 * HOUR_MS);
  const ahead = Object.assign(Object.create(alerts), { clock: { ...alerts.clock, now: () => nextYear } });
  await raise(ahead as AlertLab);
  await deliverAlerts(alerts);
  expect((await queued(alerts)).filter((text) => text.startsWith("reminder"))).toHaveLength(1);
  await deliverAlerts(alerts);
  expect((await queued(alerts)).filter((text) => text.startsWith("reminder"))).toHaveLength(1);
});

test("an acknowledged alert gets no reminders, is still counted, and its end gets a notice", async () => {
  await using alerts = await lab();
  await raise(alerts);
  const [alert] = await alerts.catalog.alerts({});
  await alerts.catalog.acknowledgeAlert(alert?.id ?? "", alerts.clock.now().toISOString());
  await alerts.clock.advance(30 * 24 * HOUR_MS);
  await deliverAlerts(alerts);
  await raise(alerts);
  expect(await queued(alerts)).toEqual(["raised CRITICAL 1"]);
  expect(await alerts.catalog.alerts({})).toMatchObject([{ count: 2, acknowledged_at: expect.any(String) }]);
  await resolveAlert(alerts, KEY, "all is well again");
  expect(await queued(alerts)).toEqual(["raised CRITICAL 1", "resolved CRITICAL 2"]);
});

test("a problem that gets worse is notified again although it was acknowledged; one that gets milder is not", async () => {
  await using alerts = await lab();
  await raise(alerts, { level: "WARNING" });
  const [alert] = await alerts.catalog.alerts({});
  await alerts.catalog.acknowledgeAlert(alert?.id ?? "", alerts.clock.now().toISOString());
  await raise(alerts, { level: "CRITICAL" });
  await raise(alerts, { level: "WARNING" });
  expect(await alerts.catalog.alerts({})).toMatchObject([
    { level: "CRITICAL", count: 3, acknowledged_at: null },
  ]);
  expect(await queued(alerts)).toEqual(["raised WARNING 1", "raised CRITICAL 2"]);
});

test("once it is resolved, the same problem is a new alert", async () => {
  await using alerts = await lab();
  await resolveAlert(alerts, KEY, "all is well again");
  await raise(alerts);
  await resolveAlert(alerts, KEY, "all is well again");
  await resolveAlert(alerts, KEY, "all is well again");
  await raise(alerts);
  expect(await queued(alerts)).toEqual(["raised CRITICAL 1", "resolved CRITICAL 1", "raised CRITICAL 1"]);
  expect(await alerts.catalog.alerts({ key: KEY })).toHaveLength(2);
});

test("each success is notified, and none is open", async () => {
  await using alerts = await lab();
  for (let run = 0; run < 2; run++) await raise(alerts, { level: "INFO", key: "backup succeeded" });
  expect(await queued(alerts)).toEqual(["raised INFO 1", "raised INFO 1"]);
  expect(await alerts.catalog.alerts({ open: true })).toEqual([]);
  await raise(alerts, { key: "restore", isEvent: true });
  expect(await alerts.catalog.alerts({ open: true })).toEqual([]);
  expect(await alerts.catalog.alerts({ unacknowledged: true })).toMatchObject([{ key: "restore" }]);
});

test("two processes that raise the same alert make one", async () => {
  await using alerts = await lab();
  await Promise.all(Array.from({ length: 10 }, () => raise(alerts)));
  expect(await alerts.catalog.alerts({})).toMatchObject([{ count: 10 }]);
  expect(await queued(alerts)).toHaveLength(1);
});

test("an unreachable catalog fails no job", async () => {
  const alerts = await lab();
  await alerts[Symbol.asyncDispose]();
  await raise(alerts);
  await resolveAlert(alerts, KEY, "all is well again");
  await deliverAlerts(alerts);
});
