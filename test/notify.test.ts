import { expect, test } from "bun:test";
import { createHmac } from "node:crypto";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { systemClock } from "../src/base/clock.ts";
import { NOTIFY_TYPES, type NotifyConfig } from "../src/config/config.ts";
import type { Notice } from "../src/notify/notice.ts";
import { sendNotice } from "../src/notify/send.ts";
import { mailText } from "./lab/mail.ts";
import { RECEIVERS, smtpReceiver, TOKEN } from "./lab/servers/receivers.ts";
import { noticeOf, notifierConformance } from "./suites/notifier-conformance.ts";

const json = (taken: string) => JSON.parse(taken.slice(taken.indexOf("{")));
/** Extracts the text that a receiver sees; a type without an entry does not compile. */
const READ: { readonly [T in NotifyConfig["type"]]: (taken: string) => string } = {
  webhook: (taken) => `${json(taken).message} ${JSON.stringify(json(taken).metadata)}`,
  slack: (taken) => json(taken).text.replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&amp;", "&"),
  ntfy: (taken) => json(taken).message,
  healthchecks: (taken) => taken,
  email: mailText,
  command: (taken) => `${json(taken).message} ${JSON.stringify(json(taken).metadata)}`,
};
for (const type of NOTIFY_TYPES) notifierConformance(type, RECEIVERS[type], READ[type]);
notifierConformance("email with TLS from the start", () => smtpReceiver("tls"), mailText);

test("every driver file is registered and thus covered by the conformance suite", async () => {
  const directory = join(import.meta.dir, "../src/notify");
  const drivers: string[] = [];
  for (const file of await readdir(directory)) {
    if (/\bimplements Notifier\b/.test(await Bun.file(join(directory, file)).text())) drivers.push(file);
  }
  expect(drivers.map((file) => file.replace(/\.ts$/, "")).sort()).toEqual([...NOTIFY_TYPES].sort());
});

const deps = { clock: systemClock, signal: new AbortController().signal };
const send = (config: NotifyConfig, change: Partial<Notice> = {}) => {
  const notice = noticeOf(change);
  return sendNotice(config, notice, deps).then(() => notice);
};

test("webhook: the whole notice, with an id, a time and a signature over time and body", async () => {
  await using receiver = await RECEIVERS.webhook();
  const notice = await send(receiver.config);
  const [request] = receiver.requests;
  expect(JSON.parse(request?.body ?? "")).toEqual(notice);
  const header = (name: string) => request?.headers.get(name) ?? "";
  expect(header("pg321-delivery")).toBe(notice.id);
  expect(Math.abs(Number(header("pg321-timestamp")) * 1000 - systemClock.now().getTime())).toBeLessThan(
    60_000,
  );
  const signed = `${header("pg321-timestamp")}.${request?.body}`;
  expect(header("pg321-signature")).toBe(
    `sha256=${createHmac("sha256", TOKEN).update(signed).digest("hex")}`,
  );
  if (receiver.config.type === "webhook") await send({ ...receiver.config, secret: undefined });
  expect(receiver.requests[1]?.headers.has("pg321-signature")).toBe(false);
});

test("webhook: the signature check in docs/alerts.md accepts ours and no other", async () => {
  await using receiver = await RECEIVERS.webhook();
  await send(receiver.config);
  const [request] = receiver.requests;
  const docs = await Bun.file(join(import.meta.dir, "../docs/alerts.md")).text();
  const example = /```python\n(.*?)```/s.exec(docs)?.[1] ?? "";
  const headers = {
    "Pg321-Timestamp": request?.headers.get("pg321-timestamp"),
    "Pg321-Signature": request?.headers.get("pg321-signature"),
  };
  const check = (body: string) => {
    const call =
      "import json, sys\nprint(is_ours(*(f(a) for f, a in zip((str.encode, dict, str.encode), json.load(sys.stdin)))))";
    const stdin = Buffer.from(JSON.stringify([TOKEN, headers, body]));
    const python = Bun.spawnSync(["python3", "-c", `${example}\n${call}`], { stdin });
    return python.stdout.toString().trim();
  };
  expect(check(request?.body ?? "")).toBe("True");
  expect(check(`${request?.body} `)).toBe("False");
});

test("a redirect is not followed: it would send the notice elsewhere", async () => {
  await using receiver = await RECEIVERS.webhook();
  await using elsewhere = await RECEIVERS.webhook();
  const location = elsewhere.config.type === "webhook" ? elsewhere.config.url.reveal() : "";
  receiver.answerWith(() => new Response(null, { status: 307, headers: { location } }));
  await expect(send(receiver.config)).rejects.toMatchObject({ message: "status 307", retryable: false });
  expect(elsewhere.requests).toEqual([]);
});

test("429 and 408 are retried", async () => {
  await using receiver = await RECEIVERS.slack();
  for (const status of [408, 429]) {
    receiver.answerWith(() => new Response(null, { status }));
    await expect(send(receiver.config)).rejects.toMatchObject({ retryable: true });
  }
});

test("slack: nothing in a message can notify everybody", async () => {
  await using receiver = await RECEIVERS.slack();
  await send(receiver.config, { message: "table <!channel> & <@U1>" });
  expect(receiver.requests[0]?.body).not.toMatch(/<!channel>|<@U1>/);
});

test("ntfy: the topic, the token, and a priority by level; good news is quiet", async () => {
  await using receiver = await RECEIVERS.ntfy();
  await send(receiver.config);
  await send(receiver.config, { event: "resolved", resolved_at: "2026-11-23T01:00:00.000Z" });
  const [first, second] = receiver.requests.map(({ body }) => JSON.parse(body));
  expect(first).toMatchObject({ topic: "hidden-topic", priority: 5 });
  expect(second).toMatchObject({ priority: 3, title: expect.stringContaining("RESOLVED") });
  expect(receiver.requests[0]?.headers.get("authorization")).toBe("Bearer ntfy-t0ken");
  await send(receiver.config, { message: "\u{1F418}".repeat(5000) });
  const { message } = JSON.parse(receiver.requests[2]?.body ?? "");
  // A longer message would become a file.
  expect(Buffer.byteLength(message)).toBeLessThan(4096);
});

test("healthchecks: start, success and fail, each with the run's id", async () => {
  await using receiver = await RECEIVERS.healthchecks();
  const run_id = crypto.randomUUID();
  for (const event of ["started", "succeeded", "failed"] as const)
    await send(receiver.config, { event, run_id });
  const path = `/ping/${encodeURIComponent(TOKEN)}`;
  expect(receiver.requests.map(({ url }) => url.pathname)).toEqual([`${path}/start`, path, `${path}/fail`]);
  for (const { url } of receiver.requests) expect(url.searchParams.get("rid")).toBe(run_id);
});

test("email: to all recipients, over TLS, one thread for each alert, no automatic answers", async () => {
  await using receiver = await smtpReceiver("starttls");
  const { id, alert_id } = await send(receiver.config);
  const [mail] = await receiver.taken();
  expect(mail).toStartWith("ops@example.com,boss@example.com secure=true");
  expect(mail).toContain(`Message-ID: <${id}@example.com>`);
  expect(mail).toContain(`References: <${alert_id}@example.com>`);
  expect(mail).toContain("Auto-Submitted: auto-generated");
});

test("email: no mail is sent with a wrong certificate or a wrong password", async () => {
  await using receiver = await smtpReceiver("starttls");
  const { config } = receiver;
  if (config.type !== "email") throw new Error("no mail");
  await expect(send({ ...config, ca_file: undefined })).rejects.toMatchObject({ retryable: true });
  const wrong = send({ ...config, user: "somebody" });
  await expect(wrong).rejects.toMatchObject({ retryable: false, message: expect.stringContaining("535") });
  await expect(wrong).rejects.not.toMatchObject({ message: expect.stringContaining(TOKEN) });
  expect(await receiver.taken()).toEqual([]);
});

test("email: without TLS nothing is sent, unless the config allows it", async () => {
  await using receiver = await smtpReceiver("none");
  const { config } = receiver;
  if (config.type !== "email") throw new Error("no mail");
  await expect(send({ ...config, tls: "starttls" })).rejects.toMatchObject({ code: "storage" });
  expect(await receiver.taken()).toEqual([]);
  await send({ ...config, user: undefined, password: undefined });
  expect((await receiver.taken())[0]).toContain("secure=false");
});

test("command: its output is discarded, and processes that it leaves running do not delay it", async () => {
  await using receiver = await RECEIVERS.command();
  if (receiver.config.type !== "command") throw new Error("no command");
  const argv = [
    "/bin/sh",
    "-c",
    'env; sleep 1000 2>/dev/null & echo $! >"$0/child"',
    receiver.config.argv[1] ?? "",
  ];
  await send({ ...receiver.config, argv });
  process.kill(Number(await Bun.file(join(argv[3] ?? "", "child")).text()));
});
