import { describe, expect, test } from "bun:test";
import { ManualClock } from "../../test/lab/manual-clock.ts";
import type { LogLevel } from "./log.ts";
import { createLog } from "./log.ts";
import type { JournalEntry } from "./process/journal.ts";

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

test("text: a value with double quotes stands in single quotes, if that saves escapes", () => {
  const { log, written } = lines("text");
  log.error("failed", { error: 'server "main": gone', mixed: `"it's"`, quote: "it's", path: '"C:\\"' });
  expect(written).toEqual([
    `2026-11-23T00:00:00Z error   failed error='server "main": gone' mixed="\\"it's\\"" quote="it's" path="\\"C:\\\\\\""\n`,
  ]);
});

describe("journal", () => {
  function journalLog(isTaken: boolean) {
    const entries: JournalEntry[] = [];
    const written: string[] = [];
    const journal = { send: (entry: JournalEntry) => entries.push(entry) > 0 && isTaken };
    const log = createLog({ format: "text", level: "info", write: (line) => written.push(line), journal });
    return { log, entries, written };
  }

  test("an event is an entry: a line to read, its priority, and its fields as they are", () => {
    const { log, entries, written } = journalLog(true);
    log.debug("detail");
    log.warning("a copy\u007f failed", { size_bytes: 5, error: "one\ntwo", none: undefined, empty: "" });
    expect(entries).toEqual([
      [
        ["MESSAGE", 'a copy\ufffd failed size_bytes=5 error="one\\ntwo" empty=""'],
        ["PRIORITY", "4"],
        ["SYSLOG_IDENTIFIER", "pg321"],
        ["PG321_EVENT", "a copy\u007f failed"],
        ["PG321_SIZE_BYTES", "5"],
        ["PG321_ERROR", "one\ntwo"],
        ["PG321_EMPTY", ""],
      ],
    ]);
    expect(written).toEqual([]);
  });

  test("an event that the journal does not take is written, each line with its priority", () => {
    const { log, written } = journalLog(false);
    log.error("first\nsecond", { storage: "r2" });
    expect(written).toEqual(["<3>first\n<3>second storage=r2\n"]);
  });
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
