import { afterAll, expect, test } from "bun:test";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { passwordOfFile } from "./passfile.ts";

const directory = mkdtempSync(join(tmpdir(), "pg321-passfile-"));
afterAll(() => rmSync(directory, { recursive: true }));
const file = join(directory, ".pgpass");
const PLACE = { hosts: ["db", "localhost"], port: 5432, database: "app", user: "me" };

function lookedUp(lines: string[], place = PLACE): Promise<string | undefined> {
  writeFileSync(file, lines.join("\n"), { mode: 0o600 });
  return passwordOfFile(file, place);
}

test.each([
  ["the first line that suits", ["other:5432:app:me:no", "db:*:*:me:yes", "*:*:*:*:late"]],
  ["another name of the host", ["localhost:5432:app:me:yes"]],
  ["a comment and an empty line before it", ["#db:5432:app:me:no", "", "db:5432:app:me:yes"]],
  ["Windows line ends", ["db:5432:app:me:yes\r", "x"]],
  ["a line that is cut off", ["db:5432:app:me", "db:5432:app:me:yes"]],
  ["an end by a colon", ["db:5432:app:me:yes:more"]],
])("%s", async (_, lines) => {
  expect(await lookedUp(lines)).toBe("yes");
});

test("colons and backslashes are escaped", async () => {
  const place = { ...PLACE, hosts: ["::1"], database: "a\\b", user: "c:" };
  expect(await lookedUp(["\\:\\:1:5432:a\\\\b:c\\::p\\:w\\\\é"], place)).toBe("p:w\\é");
});

test("a file that others may read is ignored", async () => {
  writeFileSync(file, "*:*:*:*:yes");
  chmodSync(file, 0o640);
  expect(await passwordOfFile(file, PLACE)).toBeUndefined();
  expect(await passwordOfFile(join(directory, "none"), PLACE)).toBeUndefined();
  expect(await passwordOfFile(directory, PLACE)).toBeUndefined();
});
