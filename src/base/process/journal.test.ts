import { expect, test } from "bun:test";
import { fstatSync, openSync } from "node:fs";
import { setImmediate } from "node:timers/promises";
import { NotifySocket } from "../../../test/lab/servers/notify-socket.ts";
import { journalHasRead, leadsToJournal, openJournal, withPriority } from "./journal.ts";

test("only the stream named in the variable leads to the journal", () => {
  const fileDescriptor = openSync("/dev/null", "w");
  const { dev, ino } = fstatSync(fileDescriptor, { bigint: true });
  expect(leadsToJournal(`${dev}:${ino}`, fileDescriptor)).toBe(true);
  expect(leadsToJournal(`${dev}:${ino}1`, fileDescriptor)).toBe(false);
  expect(leadsToJournal("", fileDescriptor)).toBe(false);
  expect(leadsToJournal(undefined, fileDescriptor)).toBe(false);
  expect(leadsToJournal("1:1", 999_999)).toBe(false);
});

test("each line gets the priority", () => {
  expect(withPriority("error: a\nhint: b\n", 3)).toBe("<3>error: a\n<3>hint: b\n");
});

test("an entry is one datagram, with the length of a value that has line breaks", async () => {
  await using socket = new NotifySocket();
  const journal = await openJournal(socket.address);
  const isTaken = journal.send([
    ["MESSAGE", "two\nlines é"],
    ["PRIORITY", "6"],
    ["PG321_EMPTY", ""],
  ]);
  expect(isTaken).toBe(true);
  expect(socket.received()).toEqual(["MESSAGE\n\u000c\0\0\0\0\0\0\0two\nlines é\nPRIORITY=6\nPG321_EMPTY="]);
});

test("a process can wait until its entries were read", async () => {
  await using socket = new NotifySocket();
  const journal = await openJournal(socket.address);
  await journalHasRead();
  journal.send([["MESSAGE", "last"]]);
  let isRead = false;
  const read = journalHasRead().then(() => {
    isRead = true;
  });
  await setImmediate();
  expect(isRead).toBe(false);
  expect(socket.received()).toEqual(["MESSAGE=last"]);
  await read;
});

test("without a journal at the socket, no entry is taken", async () => {
  const journal = await openJournal("/nowhere/socket");
  expect(journal.send([["MESSAGE", "short"]])).toBe(false);
  expect(journal.send([["MESSAGE", "long".repeat(100_000)]])).toBe(false);
});
