import { expect, test } from "bun:test";
import { join } from "node:path";
import { mailSubject, mailText } from "../../test/lab/mail.ts";
import { RECEIVERS, smtpReceiver } from "../../test/lab/servers/receivers.ts";
import { noticeOf } from "../../test/suites/notifier-conformance.ts";
import { systemClock } from "../base/clock.ts";
import { VERSION } from "../base/version.ts";
import type { Notice } from "./notice.ts";
import { sendNotice } from "./send.ts";

const DOCS = await Bun.file(join(import.meta.dir, "../../docs/alerts.md")).text();
const [MAIL = "", PUSH = ""] = [...DOCS.matchAll(/```text\n(.*?)\n```/gs)].map(([, text]) => text);
const EXAMPLE: Notice = JSON.parse(/```json\n(.*?)```/s.exec(DOCS)?.[1] ?? "{}");

const deps = { clock: systemClock, signal: new AbortController().signal };
const RESOLVED: Partial<Notice> = {
  event: "resolved",
  resolution: "main/app is backed up again, to every storage",
  count: 3,
  last_at: "2026-11-23T04:02:34.048Z",
  resolved_at: "2026-11-23T05:02:34.048Z",
};

test("a mail and a push are sent as docs/alerts.md shows them", async () => {
  await using mails = await smtpReceiver("starttls");
  await using pushes = await RECEIVERS.ntfy();
  await sendNotice(mails.config, EXAMPLE, deps);
  const [mail = ""] = await mails.taken();
  expect(`Subject: ${mailSubject(mail)}\n\n${mailText(mail).trim()}`).toBe(MAIL);
  for (const change of [{}, RESOLVED]) await sendNotice(pushes.config, { ...EXAMPLE, ...change }, deps);
  const [raised, resolved] = pushes.requests.map(({ body }) => JSON.parse(body));
  expect(`Subject: ${raised.title}\n\n${raised.message}`).toBe(MAIL);
  expect(`Title: ${resolved.title}\n\n${resolved.message}`).toBe(PUSH);
});

test("a title names host, database and what happened", async () => {
  await using receiver = await RECEIVERS.ntfy();
  const titleOf = async (change: Partial<Notice>) => {
    await sendNotice(receiver.config, noticeOf({ message: "it failed", ...change }), deps);
    return JSON.parse(receiver.requests.at(-1)?.body ?? "").title;
  };
  expect(await titleOf({})).toBe("[pg321 here] CRITICAL: main/app: it failed");
  expect(await titleOf({ database: null })).toBe("[pg321 here] CRITICAL: main: it failed");
  expect(await titleOf({ server: null, database: null, event: "reminder" })).toBe(
    "[pg321 here] STILL CRITICAL: it failed",
  );
  expect(await titleOf({ message: "main/app\nis gone" })).toBe("[pg321 here] CRITICAL: main/app is gone");
  const key = "main/app/backup_app_20261123_020234_f5871c43.dump.zst.enc";
  expect(await titleOf({ message: `main/app: storage "usb": put ${key}: no space left on the disk` })).toBe(
    '[pg321 here] CRITICAL: main/app: storage "usb": put …: no space left on the disk',
  );
  // Queued by a version without this sentence.
  const { resolution: _, ...old } = noticeOf({ event: "resolved" });
  await sendNotice(receiver.config, old as Notice, deps);
  expect(JSON.parse(receiver.requests.at(-1)?.body ?? "").title).toBe(
    '[pg321 here] RESOLVED: the problem "backup main/app" is solved',
  );
});

test("a text has no raw numbers, no empty lists and no JSON", async () => {
  await using receiver = await RECEIVERS.ntfy();
  const metadata = {
    ...{ copies: [], warnings: [], error: null, failed: 0, dump_bytes: 1_045_569_536, duration_ms: 65_000 },
    storages: { disk: { expired: 3, bytes_freed: 2 ** 31, failed: 0 }, r2: { expired: 1, bytes_freed: 0 } },
    orphans: [{ storage: "r2", objects: 2, bytes: 12_345 }],
    ids: Array.from({ length: 7 }, (_, index) => `name-${index}`),
    confirmed: false,
    shrunk_at: "2026-11-23T02:02:34.048Z",
  };
  await sendNotice(receiver.config, noticeOf({ message: "it failed", metadata }), deps);
  const { message } = JSON.parse(receiver.requests[0]?.body ?? "");
  expect(message).toContain(
    [
      "Dump: 997 MiB",
      "Took: 1m 05s",
      "Storages: disk: 3 expired, freed 2.0 GiB; r2: 1 expired",
      "Orphans: storage r2, 2 objects, 12.1 KiB",
      "Ids: name-0, name-1, name-2, name-3, name-4, 2 more",
      "First small dump: 2026-11-23 02:02:34 UTC",
    ].join("\n"),
  );
  expect(message).not.toMatch(/[[\]{}]|null|undefined|_bytes|_ms/);
  // A problem without a hint has a next step, too.
  expect(message).toContain("What to do: pg321 status shows");
});

test("every request says which program and version sent it", async () => {
  for (const type of ["webhook", "slack", "ntfy", "healthchecks"] as const) {
    await using receiver = await RECEIVERS[type]();
    await sendNotice(receiver.config, noticeOf(), deps);
    expect(receiver.requests[0]?.headers.get("user-agent")).toBe(`pg321/${VERSION}`);
  }
});
