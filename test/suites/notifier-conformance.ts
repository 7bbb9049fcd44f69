import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { raiseAlert } from "../../src/alerts/alert.ts";
import { deliverAlerts } from "../../src/alerts/deliver.ts";
import { pingEnd } from "../../src/alerts/ping.ts";
import { systemClock } from "../../src/base/clock.ts";
import { Secret } from "../../src/base/secret.ts";
import type { NotifyConfig } from "../../src/config/config.ts";
import type { Notice } from "../../src/notify/notice.ts";
import { sendNotice } from "../../src/notify/send.ts";
import type { AlertLab } from "../lab/alert-context.ts";
import { alertLab, alertRequest } from "../lab/alert-context.ts";
import { ManualClock } from "../lab/manual-clock.ts";
import type { Receiver } from "../lab/servers/receivers.ts";
import { TOKEN } from "../lab/servers/receivers.ts";
import { runRecord } from "./catalog/records.ts";

const MESSAGE = 'backup of main/"ünï\u{1F418}" failed: <no> & "yes"';

export function noticeOf(change: Partial<Notice> = {}): Notice {
  return {
    id: crypto.randomUUID(),
    event: "raised",
    level: "CRITICAL",
    job: "backup",
    key: "backup main/app",
    alert_id: crypto.randomUUID(),
    run_id: crypto.randomUUID(),
    host: "here",
    installation: "0a0a0a0a-0000-4000-8000-000000000000",
    server: "main",
    database: "app",
    message: MESSAGE,
    resolution: null,
    count: 1,
    first_at: "2026-11-23T00:00:00.000Z",
    last_at: "2026-11-23T00:00:00.000Z",
    resolved_at: null,
    metadata: { dump_bytes: 5, copies: ["r2"] },
    ...change,
  };
}

/**
 * Tests for every implementation of `Notifier`, against a real receiver. `read` extracts the plain text from what
 * it received.
 */
export function notifierConformance(
  name: string,
  makeReceiver: () => Promise<Receiver>,
  read: (taken: string) => string,
): void {
  describe(`notifier conformance: ${name}`, () => {
    let receiver: Receiver;
    beforeEach(async () => {
      receiver = await makeReceiver();
    });
    afterEach(() => receiver[Symbol.asyncDispose]());
    describe("sending", () => sending(() => receiver, read));
    describe("delivery", () => delivery(() => receiver));
  });
}

type Use = () => Receiver;

function sending(use: Use, read: (taken: string) => string): void {
  const { signal } = new AbortController();
  const send = (config: NotifyConfig, notice = noticeOf()) =>
    sendNotice(config, notice, { clock: systemClock, signal });
  const failure = async (config: NotifyConfig) => {
    const error = await send(config).then(
      () => undefined,
      (thrown) => thrown,
    );
    expect(error).toMatchObject({ name: "Pg321Error", code: "storage", message: expect.stringMatching(/./) });
    const told = Bun.inspect(error) + error.message + error.stack;
    for (const secret of secretsOf(config)) expect(told).not.toContain(secret);
    return error;
  };

  test("delivers every character", async () => {
    await send(use().config);
    const taken = await use().taken();
    expect(taken).toHaveLength(1);
    expect(read(taken[0] ?? "")).toContain(MESSAGE);
    // Programs get the names of the JSON, people words and units.
    const isForPrograms = ["webhook", "command"].includes(use().config.type);
    expect(read(taken[0] ?? "")).toContain(isForPrograms ? '"dump_bytes":5' : "Dump: 5 B\nCopies: r2\n");
  });

  test("delivers very long messages, too", async () => {
    await send(use().config, noticeOf({ message: "ü".repeat(100_000) }));
    expect(read((await use().taken())[0] ?? "")).toContain("ü".repeat(100));
  });

  test("a temporary failure is retryable, a refusal is not; neither shows a secret", async () => {
    await use().behave("fail");
    expect(await failure(use().config)).toMatchObject({ retryable: true });
    await use().behave("refuse");
    expect(await failure(use().config)).toMatchObject({ retryable: false });
    expect(await use().taken()).toEqual([]);
  });

  test("an unreachable receiver is retryable", async () => {
    expect(await failure(use().absent)).toMatchObject({ retryable: true });
  });

  test("a receiver that stalls is abandoned after the timeout", async () => {
    const clock = new ManualClock();
    await use().behave("stall");
    const sent = sendNotice(use().config, noticeOf(), { clock, signal }).then(
      () => undefined,
      (error) => error,
    );
    await until(async () => (await use().tries()) > 0);
    await clock.advance(9_999);
    expect(await Promise.race([sent, systemClock.sleep(0).then(() => "waiting")])).toBe("waiting");
    await clock.advance(1);
    expect(await sent).toMatchObject({ message: "no answer within 10 s", retryable: true });
  });

  test("an abort ends the attempt with its reason", async () => {
    await use().behave("stall");
    const abort = new AbortController();
    const sent = sendNotice(use().config, noticeOf(), { clock: systemClock, signal: abort.signal });
    sent.catch(() => {});
    await until(async () => (await use().tries()) > 0);
    const reason = new Error("ended by SIGTERM");
    abort.abort(reason);
    await expect(sent).rejects.toBe(reason);
  });
}

function delivery(use: Use): void {
  /** Sends a notice of this level; for a healthcheck, of a run that ended accordingly. */
  const tell = async (lab: AlertLab, level: "WARNING" | "CRITICAL", job: "backup" | "verify" = "backup") => {
    if (use().config.type !== "healthchecks")
      return raiseAlert(lab, alertRequest({ level, job, key: crypto.randomUUID() }));
    await pingEnd(lab, runRecord({ job, outcome: level === "CRITICAL" ? "FAILED" : "PARTIAL" }));
  };
  const states = async (lab: AlertLab) =>
    (await lab.catalog.deliveries({})).map(({ state, attempts }) => [state, attempts]);

  test("gets only the configured levels and jobs", async () => {
    await using lab = await alertLab({ ...use().config, min_level: "CRITICAL", jobs: ["backup"] });
    await tell(lab, "CRITICAL");
    await tell(lab, "CRITICAL", "verify");
    await deliverAlerts(lab);
    expect(await use().taken()).toHaveLength(1);
    await tell(lab, "WARNING");
    await deliverAlerts(lab);
    // An alert below the level is not sent; a run without a worse problem counts as succeeded.
    const isSwitch = use().config.type === "healthchecks";
    const taken = await use().taken();
    expect(taken.filter((text) => !text.startsWith("/ping") || text.includes("/fail"))).toHaveLength(1);
    expect(taken).toHaveLength(isSwitch ? 2 : 1);
  });

  test("gets only notices about the configured databases, and those about none", async () => {
    const { config } = use();
    if (config.type === "healthchecks") return;
    await using lab = await alertLab({ ...config, databases: ["shop_*", "main/app", "=a*"] });
    for (const [server, database] of [
      ["main", "app"],
      ["other", "app"],
      ["other", "shop_1"],
      ["main", "shop"],
      ["main", null],
      // Names that look like a pattern, or like SERVER/DATABASE, must not match by accident.
      ["main", "a*"],
      ["main", "ab"],
      ["main", "main/app"],
      ["shop_eu", "ledger"],
    ] as const)
      await raiseAlert(lab, alertRequest({ server, database, key: crypto.randomUUID() }));
    await deliverAlerts(lab);
    expect(await use().taken()).toHaveLength(4);
  });

  test("retries a notice that could not be delivered, also after a restart, and then delivers it once", async () => {
    await using lab = await alertLab(use().config);
    await use().behave("fail");
    await tell(lab, "CRITICAL");
    await deliverAlerts(lab);
    await deliverAlerts(lab);
    expect(await use().tries()).toBe(1);
    expect((await lab.catalog.deliveries({}))[0]?.error).toBeTruthy();
    await lab.restart();
    await use().behave("take");
    await lab.clock.advance(60_000);
    await deliverAlerts(lab);
    await deliverAlerts(lab);
    expect(await use().taken()).toHaveLength(1);
    expect(await states(lab)).toEqual([["DELIVERED", 2]]);
  });

  test("gives up a refused notice, records the reason without a secret, and continues with the next", async () => {
    await using lab = await alertLab(use().config);
    await use().behave("refuse");
    await tell(lab, "CRITICAL");
    await deliverAlerts(lab);
    await use().behave("take");
    await tell(lab, "WARNING");
    await lab.clock.advance(86_400_000);
    await deliverAlerts(lab);
    expect((await states(lab)).slice(0, 2)).toEqual([
      ["FAILED", 1],
      ["DELIVERED", 1],
    ]);
    const [refused] = await lab.catalog.deliveries({ state: "FAILED" });
    expect(refused?.error).toBeTruthy();
    const records = JSON.stringify([await lab.catalog.deliveries({}), await lab.catalog.alerts({})]);
    for (const secret of secretsOf(use().config)) expect(records).not.toContain(secret);
  });
}

function secretsOf(config: NotifyConfig): string[] {
  const secrets = Object.values(config).filter((value) => value instanceof Secret);
  return [...secrets.map((secret) => secret.reveal()), TOKEN, encodeURIComponent(TOKEN)];
}

async function until(condition: () => Promise<boolean>): Promise<void> {
  while (!(await condition())) await systemClock.sleep(2);
}
