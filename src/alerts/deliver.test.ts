import { expect, test } from "bun:test";
import { alertLab, alertRequest } from "../../test/lab/alert-context.ts";
import { RECEIVERS } from "../../test/lab/servers/receivers.ts";
import { HOUR_MS } from "../base/limits.ts";
import { raiseAlert } from "./alert.ts";
import { deliverAlerts } from "./deliver.ts";

test("an unreachable receiver is tried for three days, less and less often, then given up", async () => {
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
  expect(triedAt.slice(0, 10)).toEqual([0, 30, 60, 90, 120, 150, 210, 270, 330, 390]);
  expect(triedAt.at(-1)).toBe(3 * 24 * 60 + 30);
  expect(await lab.catalog.deliveries({})).toMatchObject([
    { state: "FAILED", attempts: triedAt.length, error: expect.any(String) },
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
