import { expect, test } from "bun:test";
import { ManualClock } from "../../test/lab/manual-clock.ts";
import type { LogLevel } from "./log.ts";
import { createLog } from "./log.ts";

function lines(format: "text" | "json", level: LogLevel = "debug") {
  const written: string[] = [];
  const log = createLog({ format, level, write: (line) => written.push(line), clock: new ManualClock() });
  return { log, written };
}

test("text: one line per event, values quoted if they need it", () => {
  const { log, written } = lines("text");
  log.info("backup stored", { size_bytes: 5, name: "a b", empty: "", none: undefined, done: true });
  log.warning("odd", { text: 'line\nnext "quoted"', pair: "a=b", escape: "\u001b[31mred\u001b[0m" });
  expect(written).toEqual([
    '2026-11-23T00:00:00Z info    backup stored size_bytes=5 name="a b" empty="" done=true\n',
    '2026-11-23T00:00:00Z warning odd text="line\\nnext \\"quoted\\"" pair="a=b" escape="\\u001b[31mred\\u001b[0m"\n',
  ]);
});

test("json: the journal's priority, then an object", () => {
  const { log, written } = lines("json");
  log.error("failed", { run_id: "r1", none: undefined });
  log.debug("detail");
  expect(written[0]).toBe(
    '<3>{"time":"2026-11-23T00:00:00.000Z","level":"error","message":"failed","run_id":"r1"}\n',
  );
  expect(written[1]).toStartWith("<7>{");
});

test("nothing below the level is written", () => {
  const { log, written } = lines("text", "warning");
  log.debug("a");
  log.info("b");
  log.warning("c");
  log.error("d");
  expect(written.map((line) => line.trimEnd().at(-1))).toEqual(["c", "d"]);
});
