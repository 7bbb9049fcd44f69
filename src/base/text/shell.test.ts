import { expect, test } from "bun:test";
import { shellOption, shellQuoted } from "./shell.ts";

const NAMES = [
  "app",
  "main/app",
  "my shop",
  "it's",
  "$(touch /nowhere/x)",
  "`id`",
  'say "hi"',
  "a;b",
  "*",
  "~",
  "back\\slash",
  "two\nlines",
  "ünïcode",
  "",
];

test.each(NAMES)("a shell reads %j as one word", (name) => {
  const { stdout } = Bun.spawnSync(["sh", "-c", `printf %s ${shellQuoted(name)}`]);
  expect(stdout.toString()).toBe(name);
});

test("a plain word stays as it is, and a value with a dash is joined to its option", () => {
  expect(shellQuoted("/srv/backups/app-1.2")).toBe("/srv/backups/app-1.2");
  expect(shellOption("--yes", "shop")).toBe("--yes shop");
  expect(shellOption("--yes", "-odd one")).toBe("--yes='-odd one'");
});
