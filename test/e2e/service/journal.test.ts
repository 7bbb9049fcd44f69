import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { copyFile, mkdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { noBoxReason, SystemdBox } from "../../lab/machine/systemd-box.ts";

const BUN = "/opt/pg321/bun";
const SCRIPT = "/opt/pg321/journal-process.js";
const MANY = 3_000;

let box: SystemdBox;

type Entry = Record<string, string>;

/** Runs the process as a service of its own to its end; returns what the journal has of that service. */
async function entriesOf(...words: string[]): Promise<Entry[]> {
  const unit = `journal-${crypto.randomUUID()}.service`;
  await box.ok("systemd-run", "--quiet", "--wait", "--collect", `--unit=${unit}`, BUN, SCRIPT, ...words);
  await box.ok("journalctl", "--sync");
  const lines = await box.ok("journalctl", "--unit", unit, "--all", "--output=json");
  return lines
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Entry)
    .filter((entry) => entry["SYSLOG_IDENTIFIER"] !== "systemd");
}

describe.skipIf(noBoxReason !== undefined)(
  `the journal of a systemd${noBoxReason ? `: ${noBoxReason}` : ""}`,
  () => {
    beforeAll(async () => {
      box = await SystemdBox.start();
      const { outputs } = await Bun.build({
        entrypoints: [join(import.meta.dir, "../../fixtures/journal-process.ts")],
        target: "bun",
      });
      await mkdir(dirname(box.path(BUN)), { recursive: true });
      await copyFile(process.execPath, box.path(BUN));
      await box.write(SCRIPT, (await outputs[0]?.text()) ?? "");
    }, 120_000);
    afterAll(() => box?.[Symbol.asyncDispose]());

    test("has each event as a line to read, with its priority and its fields, whole", async () => {
      const entries = await entriesOf("kinds");
      const long = "é".repeat(50_000);
      const huge = "0123456789".repeat(100_000);
      const own = (entry: Entry) =>
        Object.fromEntries(
          Object.entries(entry).filter(([name]) => /^(MESSAGE|PRIORITY|SYSLOG_|PG321_)/.test(name)),
        );
      const SYSLOG_IDENTIFIER = "pg321";
      expect(entries.map(own)).toEqual([
        {
          ...{ MESSAGE: `short size_bytes=5 name='server "main"'`, PRIORITY: "6", SYSLOG_IDENTIFIER },
          ...{ PG321_EVENT: "short", PG321_SIZE_BYTES: "5", PG321_NAME: 'server "main"' },
        },
        {
          ...{ MESSAGE: `long text=${long}`, PRIORITY: "4", SYSLOG_IDENTIFIER },
          ...{ PG321_EVENT: "long", PG321_TEXT: long },
        },
        {
          ...{ MESSAGE: `huge text=${huge}`, PRIORITY: "3", SYSLOG_IDENTIFIER },
          ...{ PG321_EVENT: "huge", PG321_TEXT: huge },
        },
        {
          ...{ MESSAGE: 'first\nsecond error="third\\nfourth"', PRIORITY: "4", SYSLOG_IDENTIFIER },
          ...{ PG321_EVENT: "first\nsecond", PG321_ERROR: "third\nfourth" },
        },
      ]);
    });

    test("filters by priority and by field, and shows no entry as binary data", async () => {
      const shown = (...words: string[]) =>
        box.ok("journalctl", "--identifier=pg321", "--output=cat", ...words);
      expect(await shown("PG321_SIZE_BYTES=5")).toBe(`short size_bytes=5 name='server "main"'\n`);
      const warnings = (await shown("--priority=warning")).split("\n").map((line) => line.slice(0, 12));
      expect(warnings).toEqual(["long text=éé", "huge text=01", "first", "second error", ""]);
    });

    test("has every event of a process that logs faster than it reads and ends at once", async () => {
      const indexes = (await entriesOf("many", String(MANY))).map((entry) =>
        Number(/ index=(\d+)$/.exec(entry["MESSAGE"] ?? "")?.[1]),
      );
      expect(indexes.sort((a, b) => a - b)).toEqual(Array.from({ length: MANY }, (_, index) => index + 1));
    });

    test("has the only event of a short process under the name of its unit", async () => {
      for (let round = 0; round < 10; round++)
        expect(await entriesOf("many", "1")).toMatchObject([{ PG321_INDEX: "1" }]);
    });
  },
);
