import { describe, expect, test } from "bun:test";
import { ManualClock } from "../../../test/lab/manual-clock.ts";
import { createLog } from "../../base/log.ts";
import { ProgressMeter } from "../../jobs/progress.ts";
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
    expect(shown()).toEqual(["backup main/app  1.0 KiB 25% of ~4.0 KiB  1.0 KiB/s  1.0 s  disk 0 B  r2 0 B"]);
    meter.pass(9 * 1024);
    meter.storage("disk", 2048);
    meter.outcome({ name: "r2", state: "stalled" });
    await clock.advance(1000);
    expect(shown()).toEqual([
      "backup main/app  10.0 KiB 99% of ~4.0 KiB  5.0 KiB/s  2.0 s  disk 2.0 KiB  r2 stalled",
    ]);
    meter.end();
    expect(shown()).toEqual([]);
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
    expect(shown()).toEqual(["backup main/a\ufffd[2J\ufffdb  0 B 0% of ~1000 B…"]);
  });
});
