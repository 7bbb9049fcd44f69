import { expect, test } from "bun:test";
import { LOCAL, loadToml, MINIMAL, mistakes, S3 } from "../../../test/fixtures/config-file.ts";

const BUCKET = `${S3}provider = "aws"\nregion = "x"\n`;

test.each([
  [
    'lock = { mode = "governance", days = 14 }',
    { mode: "governance", days: 14, longer_than_retention: false },
  ],
  [
    'keep.days = 5\n[storage.lock]\nmode = "compliance"\ndays = 90\nlonger_than_retention = true',
    { mode: "compliance", days: 90, longer_than_retention: true },
  ],
])("a lock of a bucket: %s", async (lines, lock) => {
  const { storage } = await loadToml(`${MINIMAL + BUCKET}${lines}\n`);
  expect(storage[1]).toMatchObject({ lock, immutable: undefined });
});

test("a rule of the bucket, in a storage with a lifecycle rule too", async () => {
  const lines = 'immutable = { by = "bucket-rule", days = 30 }\nexpire = "provider-lifecycle"\n';
  const { storage } = await loadToml(MINIMAL + BUCKET + lines);
  expect(storage[1]).toMatchObject({ lock: undefined, immutable: { by: "bucket-rule", days: 30 } });
});

test.each([
  [
    BUCKET,
    'keep.days = 30\nlock = { mode = "compliance", days = 31 }',
    "storage[1].lock.days: found 31, expected at most keep.days (30): expired copies could not be deleted before their lock ends; lower lock.days, raise keep.days, or set lock.longer_than_retention = true",
  ],
  [BUCKET, 'lock = { mode = "governance", days = 366 }', "found 366, expected at most keep.days (365)"],
  [BUCKET, "lock = { days = 3 }", "storage[1].lock.mode: missing, expected one of"],
  [BUCKET, 'lock = { mode = "governance" }', "storage[1].lock.days: missing, expected a whole number"],
  [
    BUCKET,
    'lock = { mode = "legal", days = 3 }',
    'storage[1].lock.mode: found "legal" (text), expected one of "governance", "compliance"',
  ],
  [BUCKET, 'lock = { mode = "governance", day = 3 }', 'not a key of a lock table; did you mean "days"?'],
  [BUCKET, 'lock = "governance"', "storage[1].lock: found a text, expected a lock table"],
  [BUCKET, "immutable = { days = 3 }", 'storage[1].immutable.by: missing, expected "bucket-rule"'],
  [
    BUCKET,
    'lock = { mode = "governance", days = 3 }\nimmutable = { by = "bucket-rule", days = 3 }',
    "storage[1].immutable: not allowed with lock: pg321 reads its own locks back",
  ],
  [
    LOCAL.replace("disk", "other").replace("backup", "other"),
    'lock = { mode = "governance", days = 3 }',
    'storage[1].lock: not allowed with type = "local": a directory cannot be immutable, because its owner and root can delete every file in it',
  ],
  [
    LOCAL.replace("disk", "other").replace("backup", "other"),
    'immutable = { by = "bucket-rule", days = 3 }',
    'storage[1].immutable: not allowed with type = "local": a directory cannot be immutable',
  ],
])("%s%s is refused", async (storage, lines, expected) => {
  expect((await mistakes(`${MINIMAL}${storage}${lines}\n`)).join("\n")).toContain(expected);
});
