import { expect, test } from "bun:test";
import { join } from "node:path";
import { batchesOf, failuresIn } from "./side-by-side.ts";

const ROOT = join(import.meta.dir, "..");

test("every test file is in exactly one batch, and the longest are first", () => {
  const batches = batchesOf(ROOT, []);
  const files = batches.flat();
  const all = [...new Bun.Glob("**/*.test.ts").scanSync({ cwd: ROOT })].filter(
    (file) => !file.startsWith("node_modules/"),
  );
  expect(files.toSorted()).toEqual(all.toSorted());
  expect(batches[0]).toEqual(["test/http/page/browser.test.ts"]);
});

test("a filter is a part of the path, as for `bun test`", () => {
  expect(batchesOf(ROOT, ["./scripts/side-by-side.test.ts"])).toEqual([["scripts/side-by-side.test.ts"]]);
  expect(batchesOf(ROOT, ["no/such/file"])).toEqual([]);
});

test("the failed tests of an output are repeated with their errors, and without the others", () => {
  const output = [
    "bun test v1",
    "",
    "src/a.test.ts:",
    "(pass) a > good [1.00ms]",
    "error: expected 1",
    "      at <anonymous> (src/a.test.ts:3:1)",
    "(fail) a > bad [2.00ms]",
    "(pass) a > other [1.00ms]",
    " 2 pass",
  ].join("\n");
  expect(failuresIn(output)).toBe(
    "error: expected 1\n      at <anonymous> (src/a.test.ts:3:1)\n(fail) a > bad [2.00ms]",
  );
  expect(failuresIn("panic: the process died")).toBe("panic: the process died");
});
