import { expect, test } from "bun:test";
import { fstatSync, openSync } from "node:fs";
import { asErrors, leadsToJournal } from "./journal.ts";

test("only the stream named in the variable leads to the journal", () => {
  const fileDescriptor = openSync("/dev/null", "w");
  const { dev, ino } = fstatSync(fileDescriptor, { bigint: true });
  expect(leadsToJournal(`${dev}:${ino}`, fileDescriptor)).toBe(true);
  expect(leadsToJournal(`${dev}:${ino}1`, fileDescriptor)).toBe(false);
  expect(leadsToJournal("", fileDescriptor)).toBe(false);
  expect(leadsToJournal(undefined, fileDescriptor)).toBe(false);
  expect(leadsToJournal("1:1", 999_999)).toBe(false);
});

test("each line is a separate error", () => {
  expect(asErrors("error: a\nhint: b\n")).toBe("<3>error: a\n<3>hint: b\n");
});
