import { expect, test } from "bun:test";
import { outsideText, Pg321Error, UnreadableDump } from "../../base/errors.ts";
import { brokenDump } from "./unreadable.ts";

const proof = new UnreadableDump("pg_restore 15.14 cannot read the dump: unexpected end of file");

test("an error that is proved to be of the dump keeps values of rows on the host", () => {
  const error = new Pg321Error("database", "restore failed: invalid input syntax: joe@example.com", {
    outside: "restore failed: invalid input syntax: …",
    hint: "see the log",
  });
  const broken = brokenDump(error, proof);
  expect(broken.message).toContain("joe@example.com");
  expect(outsideText(broken)).toBe(
    `restore failed: invalid input syntax: …; the dump itself is broken, in every copy: ${proof.message}`,
  );
  expect(broken.hint).toContain("; see the log");
});

test("an error without values has the same text everywhere, and the proof once", () => {
  const broken = brokenDump(new Pg321Error("database", `restore failed: ${proof.message}`), proof);
  expect(broken.message).toBe(`restore failed: ${proof.message}; the dump itself is broken, in every copy`);
  expect(outsideText(broken)).toBe(broken.message);
});
