import { describe, expect, test } from "bun:test";
import { documentedKeys, misfits } from "../../../test/lab/cli-docs.ts";
import { ManualClock } from "../../../test/lab/manual-clock.ts";
import { createLog } from "../../base/log.ts";
import { countingDatabases, ProgressMeter } from "../../jobs/progress.ts";
import { jsonProgress } from "./json-progress.ts";
import { LiveLines } from "./live-lines.ts";
import { styleFor } from "./output.ts";
import { logProgress, terminalProgress } from "./progress.ts";

const PLAIN = styleFor(false, {});

describe("without a terminal", () => {
  function start() {
    const lines: string[] = [];
    const clock = new ManualClock();
    const log = createLog({ format: "text", level: "info", write: (line) => lines.push(line), clock });
    return { lines, clock, listener: logProgress(log, clock) };
  }

  test("logs one line every 30 s, even if nothing moves, and none after the end", async () => {
    const { lines, clock, listener } = start();
    const meter = new ProgressMeter(listener, "backup main/app", 1000, ["disk", "r2"]);
    await clock.advance(29_999);
    expect(lines).toEqual([]);
    meter.pass(250);
    meter.storage("disk", 200);
    await clock.advance(1);
    expect(lines).toEqual([
      '2026-11-23T00:00:30Z info    progress work="backup main/app" bytes=250 expected_bytes=1000 elapsed_ms=30000 storages="disk:writing:200 r2:writing:0"\n',
    ]);
    meter.outcome({ name: "r2", state: "slow" });
    await clock.advance(60_000);
    expect(lines).toHaveLength(3);
    expect(lines[2]).toContain('storages="disk:writing:200 r2:slow:0"');
    meter.end();
    await clock.advance(600_000);
    expect(lines).toHaveLength(3);
    expect(clock.sleeping).toBe(0);
  });

  test("logs a separate line for each piece of work", async () => {
    const { lines, clock, listener } = start();
    new ProgressMeter(listener, "one", undefined);
    const two = new ProgressMeter(listener, "two", undefined);
    await clock.advance(30_000);
    two.end();
    await clock.advance(30_000);
    expect(lines.map((line) => /work=(\w+) bytes=0/.exec(line)?.[1])).toEqual(["one", "two", "one"]);
  });
});

describe("on a terminal", () => {
  /** The lines on a screen after `written` was written to it. */
  function screenOf(written: string): string[] {
    let lines = [""];
    for (const token of written.match(/\u001b\[\d*[AJ]|\n|[^\n\u001b]+/g) ?? []) {
      const up = /^\u001b\[(\d+)A$/.exec(token)?.[1];
      if (up !== undefined) lines = [...lines.slice(0, lines.length - 1 - Number(up)), ""];
      else if (token === "\n") lines.push("");
      else if (!token.startsWith("\u001b")) lines[lines.length - 1] += token;
    }
    return lines.slice(0, -1);
  }

  function start(columns = 200) {
    let written = "";
    const clock = new ManualClock();
    const screen = new LiveLines((text) => {
      written += text;
    });
    const draw = (lines: readonly string[]) => screen.draw(lines);
    const listener = terminalProgress({ draw, columns: () => columns, style: PLAIN, clock });
    return { clock, screen, listener, shown: () => screenOf(written) };
  }

  test("bytes, share, rate, time and each storage are redrawn in place, and erased at the end", async () => {
    const { clock, listener, shown } = start();
    const meter = new ProgressMeter(listener, "backup main/app", 4 * 1024, ["disk", "r2"]);
    meter.pass(1024);
    await clock.advance(1000);
    expect(shown()).toEqual(["backup main/app  1.0 KiB, 25% of 4.0 KiB  1.0 KiB/s  1.0 s  disk 0 B  r2 0 B"]);
    meter.pass(2.5 * 1024);
    meter.storage("disk", 2048);
    meter.outcome({ name: "r2", state: "stalled" });
    await clock.advance(1000);
    expect(shown()).toEqual([
      "backup main/app  3.5 KiB, 87% of 4.0 KiB  1.8 KiB/s  2.0 s  disk 2.0 KiB  r2 stalled",
    ]);
    meter.end();
    expect(shown()).toEqual([]);
  });

  test("a share of an estimate is about, and never all of it", async () => {
    const { clock, listener, shown } = start();
    const shownAs = { expectedBytes: 8 * 1024, expectedFrom: "last_backup" } as const;
    const meter = new ProgressMeter(listener, "backup main/app", 64 * 1024, [], shownAs);
    meter.pass(2 * 1024);
    await clock.advance(200);
    expect(shown()[0]).toStartWith("backup main/app  2.0 KiB, 25% of about 8.0 KiB  ");
    // What decides about a slow storage is not what people see.
    expect(meter.share).toBe(1 / 32);
    meter.pass(8 * 1024);
    await clock.advance(200);
    expect(shown()[0]).toContain(" 10.0 KiB, 99% of about 8.0 KiB ");
  });

  test("the time left follows the rate of the last seconds, and is not guessed while nothing moves", async () => {
    const { clock, listener, shown } = start();
    const meter = new ProgressMeter(listener, "restore", 100 * 1024);
    meter.pass(1024);
    await clock.advance(2800);
    expect(shown()[0]).not.toContain("left");
    for (let second = 0; second < 20; second++) {
      meter.pass(1024);
      await clock.advance(1000);
    }
    expect(shown()[0]).toMatch(
      /^restore {2}21\.0 KiB, 21% of 100 KiB {2}1\.0 KiB\/s {2}22\.8 s, about 1m 1\ds left$/,
    );
    for (let second = 0; second < 20; second++) await clock.advance(1000);
    expect(shown()[0]).toBe("restore  21.0 KiB, 21% of 100 KiB  0 B/s  42.8 s");
  });

  test("objects are counted, without a rate", async () => {
    const { clock, listener, shown } = start();
    const meter = new ProgressMeter(listener, "look", undefined, [], {
      expectedBytes: 1200,
      unit: "objects",
    });
    meter.pass(300);
    await clock.advance(1000);
    expect(shown()).toEqual(["look  300 objects, 25% of 1,200  1.0 s"]);
  });

  test("records of a catalog are counted like objects", async () => {
    const { clock, listener, shown } = start();
    const counted = { expectedBytes: 4000, expectedFrom: "backup", unit: "records" } as const;
    listener.update({ title: "copy the catalog", bytes: 1000, ...counted, storages: new Map() });
    await clock.advance(10_000);
    expect(shown()).toEqual(["copy the catalog  1,000 records, 25% of 4,000  10.0 s, about 30.0 s left"]);
  });

  test("databases are counted above the work on each of them, with the time left at the pace since the beginning", async () => {
    const { clock, listener, shown } = start();
    {
      using count = countingDatabases(listener, "backup", 12);
      const meter = new ProgressMeter(listener, "backup main/app", undefined);
      count.done();
      await clock.advance(20_000);
      count.done();
      await clock.advance(20_000);
      expect(shown()).toEqual([
        "backup  2 of 12 databases  40.0 s, about 3m 20s left",
        "backup main/app  0 B  0 B/s  40.0 s",
      ]);
      meter.end();
    }
    expect(shown()).toEqual([]);
    using _one = countingDatabases(listener, "backup", 1);
    await clock.advance(1000);
    expect(shown()).toEqual([]);
  });

  test("storages that do not fit beside the work are below it, as many in a line as fit", async () => {
    const { clock, listener, shown } = start(60);
    new ProgressMeter(listener, "backup main/app", 4096, [
      "first-storage",
      "second-storage",
      "third-storage",
      "r2",
    ]);
    await clock.advance(1000);
    expect(shown()).toEqual([
      "backup main/app  0 B, 0% of 4.0 KiB  0 B/s  1.0 s",
      "  first-storage 0 B  second-storage 0 B  third-storage 0 B",
      "  r2 0 B",
    ]);
  });

  test("log lines stay above the redrawn lines", async () => {
    const { clock, screen, listener, shown } = start();
    const [one, two] = [new ProgressMeter(listener, "one", 0), new ProgressMeter(listener, "two", 0)];
    await clock.advance(200);
    screen.write("warning\n");
    await clock.advance(200);
    expect(shown().map((line) => line.split(" ")[0])).toEqual(["warning", "one", "two"]);
    one.end();
    two.end();
    expect(shown()).toEqual(["warning"]);
  });

  test("a line is never wider than the terminal, and no name moves the cursor", async () => {
    const { clock, listener, shown } = start(40);
    new ProgressMeter(listener, "backup main/a\u001b[2J\nb", 1000, ["a-storage-with-a-long-name"]);
    await clock.advance(200);
    expect(shown()).toEqual([
      "backup main/a\ufffd[2J\ufffdb  0 B, 0% of 1000 B…",
      "  a-storage-with-a-long-name 0 B",
    ]);
  });
});

describe("as JSON", () => {
  test("a line for each work when it begins, every second, and when it ends", async () => {
    const clock = new ManualClock();
    const lines: string[] = [];
    const listener = jsonProgress((line) => lines.push(line), clock);
    const shownAs = { expectedBytes: 1000, expectedFrom: "last_backup" } as const;
    const meter = new ProgressMeter(listener, "backup main/a\n\u001b[2J", 4000, ["disk", "r2"], shownAs);
    meter.pass(250);
    meter.storage("disk", 200);
    await clock.advance(3000);
    meter.outcome({ name: "disk", state: "stored" });
    meter.end();
    await clock.advance(3000);
    for (const line of lines) expect(line).toMatch(/^\{"type":"progress",[^\n\u001b]*\}\n$/);
    const objects = lines.map((line) => JSON.parse(line));
    expect(objects.map(({ state, bytes }) => [state, bytes])).toEqual([
      ["running", 0],
      ["running", 250],
      ["running", 250],
      ["running", 250],
      ["ended", 250],
    ]);
    expect(objects[3]).toEqual({
      ...{ type: "progress", time: "2026-11-23T00:00:03.000Z", state: "running" },
      ...{ work: "backup main/a\n\u001b[2J", bytes: 250, expected_bytes: 1000, expected_from: "last_backup" },
      ...{
        objects: null,
        expected_objects: null,
        databases: null,
        expected_databases: null,
        records: null,
        expected_records: null,
        share: 0.25,
        bytes_per_second: 83,
      },
      ...{ elapsed_ms: 3000, left_ms: 9000 },
      storages: [
        { storage: "disk", state: "writing", bytes: 200 },
        { storage: "r2", state: "writing", bytes: 0 },
      ],
    });
    expect(misfits(objects[3], documentedKeys("Progress for programs"))).toEqual([]);
    expect(objects[4].storages[0].state).toBe("stored");
  });
});
