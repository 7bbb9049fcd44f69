import { expect, test } from "bun:test";
import { alertLab, alertRequest } from "../../test/lab/alert-context.ts";
import { RECEIVERS } from "../../test/lab/servers/receivers.ts";
import { runRecord } from "../../test/suites/catalog/records.ts";
import { DAY_MS, HOUR_MS, MINUTE_MS } from "../base/limits.ts";
import { boundTo } from "../catalog/fleet/fenced-catalog.ts";
import type { Notice } from "../notify/notice.ts";
import { raiseAlert, resolveAlert } from "./alert.ts";
import { deliverAlerts } from "./deliver.ts";
import { pingEnd } from "./ping.ts";

test("an unreachable receiver is tried every minute for three days, then given up", async () => {
  await using receiver = await RECEIVERS.webhook();
  await using lab = await alertLab(receiver.absent);
  await raiseAlert(lab, alertRequest({ isEvent: true }));
  const triedAt: number[] = [];
  for (let minute = 0; minute < 4 * 24 * 60; minute += 30) {
    const before = (await lab.catalog.deliveries({}))[0]?.attempts;
    await deliverAlerts(lab);
    if ((await lab.catalog.deliveries({}))[0]?.attempts !== before) triedAt.push(minute);
    await lab.clock.advance(HOUR_MS / 2);
  }
  expect(triedAt).toEqual(Array.from({ length: 3 * 24 * 2 + 1 }, (_, index) => index * 30));
  expect(await lab.catalog.deliveries({})).toMatchObject([
    { state: "FAILED", attempts: triedAt.length, error: expect.any(String) },
  ]);
});

test("after many failures, the recovery of a receiver is noticed within a minute", async () => {
  await using receiver = await RECEIVERS.webhook();
  await using lab = await alertLab(receiver.config);
  await receiver.behave("fail");
  for (const database of ["a", "b"])
    await raiseAlert(lab, alertRequest({ database, key: database, level: "WARNING", isEvent: true }));
  for (let minute = 0; minute < 90; minute++) {
    await deliverAlerts(lab);
    await lab.clock.advance(MINUTE_MS);
  }
  await receiver.behave("take");
  await deliverAlerts(lab);
  expect(databasesIn(await receiver.taken())).toEqual(["a", "b"]);
});

test("a CRITICAL notice is sent at once, before older ones that wait for their next attempt", async () => {
  await using receiver = await RECEIVERS.webhook();
  await using lab = await alertLab(receiver.config);
  await receiver.behave("fail");
  for (const level of ["WARNING", "CRITICAL"] as const)
    await raiseAlert(lab, alertRequest({ database: level, key: level, level }));
  await deliverAlerts(lab);
  await receiver.behave("take");
  await raiseAlert(lab, alertRequest({ database: "new", key: "new" }));
  await deliverAlerts(lab);
  // The receiver takes notices again, so that the WARNING, which was not tried yet, goes out, too.
  expect(databasesIn(await receiver.taken())).toEqual(["new", "WARNING"]);
  await lab.clock.advance(MINUTE_MS);
  await deliverAlerts(lab);
  expect(databasesIn(await receiver.taken())).toEqual(["new", "WARNING", "CRITICAL"]);
});

test("a notice that its receiver cannot take holds up no other", async () => {
  await using receiver = await RECEIVERS.webhook();
  await using lab = await alertLab(receiver.config);
  receiver.answerWith(() => {
    const { database } = JSON.parse(receiver.requests.at(-1)?.body ?? "{}");
    return new Response("", { status: database === "poison" ? 500 : 200 });
  });
  await raiseAlert(lab, alertRequest({ database: "poison", key: "poison" }));
  await deliverAlerts(lab);
  for (const database of ["a", "b", "c"])
    await raiseAlert(lab, alertRequest({ database, key: database, level: "WARNING" }));
  await resolveAlert(lab, "poison", "all is well again");
  await lab.clock.advance(MINUTE_MS);
  await deliverAlerts(lab);
  // The end of a problem is not told before its beginning.
  expect(databasesIn(await receiver.taken())).toEqual(["a", "b", "c"]);
});

test("a CRITICAL notice goes before older warnings, but one alert's notices stay in order", async () => {
  await using receiver = await RECEIVERS.webhook();
  await using lab = await alertLab(receiver.config);
  await raiseAlert(lab, alertRequest({ database: "a", key: "a", level: "WARNING" }));
  await raiseAlert(lab, alertRequest({ database: "b", key: "b", level: "WARNING" }));
  await raiseAlert(lab, alertRequest({ database: "b", key: "b", level: "CRITICAL" }));
  await resolveAlert(lab, "b", "all is well again");
  await deliverAlerts(lab);
  const told = receiver.requests.map(({ body }) => JSON.parse(body) as Notice);
  expect(told.map(({ database, event, level }) => `${database} ${event} ${level}`)).toEqual([
    "b raised WARNING",
    "b raised CRITICAL",
    "b resolved CRITICAL",
    "a raised WARNING",
  ]);
});

test("reports to a dead man's switch stay in order: the last one is the state that it shows", async () => {
  await using receiver = await RECEIVERS.healthchecks();
  await using lab = await alertLab(receiver.config);
  await receiver.behave("fail");
  await pingEnd(lab, runRecord({ outcome: "OK" }));
  await deliverAlerts(lab);
  await receiver.behave("take");
  await pingEnd(lab, runRecord({ outcome: "FAILED" }));
  await deliverAlerts(lab);
  await lab.clock.advance(MINUTE_MS);
  await deliverAlerts(lab);
  expect((await receiver.taken()).map((text) => text.split(" ")[0]?.endsWith("/fail"))).toEqual([
    false,
    true,
  ]);
});

test("a receiver that fails delays no other, and gets its notices in order", async () => {
  await using good = await RECEIVERS.webhook();
  await using bad = await RECEIVERS.slack();
  await using lab = await alertLab({ ...good.config, name: "good" }, { ...bad.config, name: "bad" });
  await bad.behave("fail");
  for (const database of ["a", "b", "c"])
    await raiseAlert(lab, alertRequest({ database, key: database, message: `message ${database}` }));
  await deliverAlerts(lab);
  expect(await good.taken()).toHaveLength(3);
  // The others wait behind the first: a receiver that is down is tried once, not once per notice.
  expect(await bad.tries()).toBe(1);
  await bad.behave("take");
  await lab.clock.advance(60_000);
  await deliverAlerts(lab);
  expect((await bad.taken()).map((text) => /message (.)/.exec(text)?.[1])).toEqual(["a", "b", "c"]);
});

test("a notice postponed while the clock was ahead is sent once the clock is right again", async () => {
  await using receiver = await RECEIVERS.webhook();
  await using lab = await alertLab(receiver.config);
  await raiseAlert(lab, alertRequest());
  const nextYear = new Date(lab.clock.now().getTime() + 365 * 24 * HOUR_MS).toISOString();
  for (const { id } of await lab.catalog.deliveries({}))
    await lab.catalog.updateDelivery(id, { next_try_at: nextYear });
  await deliverAlerts(lab);
  expect(await receiver.taken()).toHaveLength(1);
});

test("two processes that deliver send each notice once", async () => {
  await using receiver = await RECEIVERS.webhook();
  await using lab = await alertLab(receiver.config);
  for (let index = 0; index < 10; index++) await raiseAlert(lab, alertRequest({ key: String(index) }));
  await Promise.all([deliverAlerts(lab), deliverAlerts(lab), deliverAlerts(lab)]);
  await deliverAlerts(lab);
  expect(new Set(receiver.requests.map(({ headers }) => headers.get("pg321-delivery"))).size).toBe(10);
  expect(receiver.requests).toHaveLength(10);
});

test("a notice whose sending process died is sent again with the same id", async () => {
  await using receiver = await RECEIVERS.webhook();
  await using lab = await alertLab(receiver.config);
  await raiseAlert(lab, alertRequest());
  const [delivery] = await lab.catalog.deliveries({});
  const now = lab.clock.now();
  await lab.catalog.claimDelivery(
    delivery?.id ?? "",
    now.toISOString(),
    new Date(now.getTime() + 70_000).toISOString(),
  );
  await deliverAlerts(lab);
  expect(receiver.requests).toHaveLength(0);
  await lab.clock.advance(70_000);
  await deliverAlerts(lab);
  expect(receiver.requests.map(({ headers }) => headers.get("pg321-delivery"))).toEqual([delivery?.id ?? ""]);
});

test("a stop of the program ends delivery at once and leaves unsent notices to the next one", async () => {
  await using receiver = await RECEIVERS.webhook();
  await using lab = await alertLab(receiver.config);
  await receiver.behave("stall");
  await raiseAlert(lab, alertRequest());
  const abort = new AbortController();
  const delivering = deliverAlerts({ ...lab, catalog: lab.catalog, signal: abort.signal });
  while (receiver.requests.length === 0) await Bun.sleep(1);
  abort.abort(new Error("ended by SIGTERM"));
  await delivering;
  await receiver.behave("take");
  await lab.restart();
  await deliverAlerts(lab);
  expect(await receiver.taken()).toHaveLength(1);
});

test("notices for a removed notifier are given up", async () => {
  await using receiver = await RECEIVERS.webhook();
  await using lab = await alertLab(receiver.absent);
  await raiseAlert(lab, alertRequest());
  lab.config.notify = [];
  await deliverAlerts(lab);
  expect(await lab.catalog.deliveries({})).toMatchObject([
    { state: "FAILED", error: expect.stringContaining("no longer has a notifier") },
  ]);
});

test("in a shared catalog a notice for a notifier that only another host has waits for that host", async () => {
  await using receiver = await RECEIVERS.webhook();
  await using lab = await alertLab(receiver.absent);
  await raiseAlert(lab, alertRequest());
  lab.config.notify = [];
  const catalog = new Proxy(lab.catalog, {
    get: (target, name) => name === "isShared" || boundTo(target, name),
  });
  await deliverAlerts({ ...lab, catalog });
  expect(await lab.catalog.deliveries({})).toMatchObject([{ state: "PENDING" }]);
  await lab.clock.advance(3 * DAY_MS);
  await deliverAlerts({ ...lab, catalog });
  expect(await lab.catalog.deliveries({})).toMatchObject([{ state: "FAILED" }]);
});

function databasesIn(taken: readonly string[]): string[] {
  return taken.map((text) => /"database":"([^"]+)"/.exec(text)?.[1] ?? "");
}
