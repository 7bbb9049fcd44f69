import { describe, expect, test } from "bun:test";
import { loadToml, MINIMAL, S3 } from "../../test/fixtures/config-file.ts";
import { DEMANDS } from "../../test/fixtures/rule-facts.ts";
import type { RuledStorage } from "./facts.ts";
import { lastTwoNotSetUp, threeTwoOne } from "./setup.ts";

const disk: RuledStorage = { name: "disk", type: "local", off_site: false, expire: "delete" };
const usb: RuledStorage = { ...disk, name: "usb" };
const share: RuledStorage = { ...disk, name: "share", off_site: true };
const r2: RuledStorage = { name: "r2", type: "s3", off_site: true, expire: "delete" };
const b2: RuledStorage = { ...r2, name: "b2" };
const cellar: RuledStorage = { ...r2, name: "cellar", off_site: false };

const COPIES = "2 of 3 copies (the live database is one)";
const KINDS = "1 of 2 kinds of storage (only disks)";
const SITE = "no copy off-site";

describe("not met", () => {
  test.each([
    ["one directory", [disk], [COPIES, KINDS, SITE], 'add a [[storage]] of type "s3" at another site'],
    ["two directories", [disk, usb], [KINDS, SITE], 'add a [[storage]] of type "s3" at another site'],
    ["a directory and one elsewhere", [disk, share], [KINDS], 'add a [[storage]] of type "s3":'],
    ["one bucket", [r2], [COPIES], "add a [[storage]]:"],
    ["a directory and a bucket in the building", [disk, cellar], [SITE], "add a [[storage]] at another site"],
    [
      "a bucket that only gets what expires",
      [{ ...disk, expire: { archive_to: "r2" } }, r2],
      [COPIES, KINDS, SITE],
      'add a [[storage]] of type "s3"',
    ],
    ["nothing", [], ["1 of 3 copies (the live database is one)", KINDS, SITE], "add a [[storage]]"],
  ] satisfies [string, RuledStorage[], string[], string][])("by %s", (_, storages, lacks, hint) => {
    const found = threeTwoOne(storages, DEMANDS);
    expect(found).toMatchObject({ isMet: false, message: `3-2-1 is not met: ${lacks.join(", ")}` });
    expect(found.hint).toStartWith(hint);
    expect(found.hint?.includes("off_site = true")).toBe(lacks.includes(SITE) && storages.length > 0);
  });
});

test.each([
  [
    "a directory and a bucket",
    [disk, r2],
    "3 copies (the live database is one), 2 kinds of storage, off-site: r2",
  ],
  ["two buckets", [r2, b2], "3 copies (the live database is one), 2 kinds of storage, off-site: r2, b2"],
])("met by %s", (_, storages, message) => {
  expect(threeTwoOne(storages, DEMANDS)).toEqual({
    isMet: true,
    message: `3-2-1 is met: ${message}`,
    hint: null,
  });
});

test("the config's own demands are what must be met", () => {
  expect(threeTwoOne([disk, r2], { ...DEMANDS, copies: 4, off_site: 2 }).message).toBe(
    "4-2-2 is not met: 3 of 4 copies (the live database is one), 1 of 2 copies off-site",
  );
  expect(threeTwoOne([disk], { ...DEMANDS, copies: 2, kinds: 1, off_site: 0 })).toEqual({
    isMet: true,
    message: "2-1-0 is met: 2 copies (the live database is one), 1 kind of storage, off-site: none",
    hint: null,
  });
});

test.each([
  [
    "",
    "not set up yet: 1 immutable (lock the copies of an S3 storage: docs/immutability.md) and 0 errors (set schedule.restore_test: docs/restore-tests.md)",
  ],
  [
    '[schedule]\nrestore_test = "@weekly"',
    "not set up yet: 1 immutable (lock the copies of an S3 storage: docs/immutability.md)",
  ],
  ["[rule]\nimmutable = 0\nzero_errors = false", null],
])("the last two digits are said to be not set up, with %p", async (more, line) => {
  const off = more.includes("[schedule]") ? "" : '[schedule]\nrestore_test = "off"\n';
  expect(lastTwoNotSetUp(await loadToml(`${MINIMAL}${off}${more}\n`))).toBe(line);
});

test("a lock gives the first of them", async () => {
  const bucket = `${S3}provider = "aws"\nregion = "x"\nlock = { mode = "compliance", days = 7 }\n`;
  const config = await loadToml(`${MINIMAL}${bucket}[rule]\nzero_errors = false\n`);
  expect(lastTwoNotSetUp(config)).toBeNull();
});
