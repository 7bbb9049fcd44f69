import { expect, test } from "bun:test";
import { loadToml, MINIMAL, mistakes } from "../../../test/fixtures/config-file.ts";
import { MIB } from "../../base/limits.ts";

/** The last table of `MINIMAL` is not a storage, so these lines come first. */
const withStorage = (lines: string) =>
  MINIMAL.replace('path = "/srv/backup"\n', `path = "/srv/backup"\n${lines}\n`);

test("rate_limit and backfill, and what they are if unset", async () => {
  const settings = async (lines: string) => (await loadToml(withStorage(lines))).storage[0];
  expect(await settings("")).toMatchObject({ rate_limit_bytes_per_second: 0, backfill: undefined });
  expect(await settings('rate_limit = "10MiB/s"')).toMatchObject({ rate_limit_bytes_per_second: 10 * MIB });
  expect(await settings('rate_limit = "1MiB/s"')).toMatchObject({ rate_limit_bytes_per_second: MIB });
  expect(await settings('rate_limit = "100KiB/s"\nmin_rate = "50KiB/s"')).toMatchObject({
    rate_limit_bytes_per_second: 102_400,
  });
  expect(await settings('backfill = "all"')).toMatchObject({ backfill: "all" });
  expect(await settings('backfill = "newest"')).toMatchObject({ backfill: "newest" });
  expect(await settings('backfill = "90d"')).toMatchObject({ backfill: { max_age_ms: 7_776_000_000 } });
});

test.each([
  [
    'rate_limit = "512KiB/s"',
    'storage[0].rate_limit: found "512KiB/s", less than min_rate ("1MiB/s"), below which the storage counts as too slow: raise it, or lower min_rate',
  ],
  ['rate_limit = "10"', 'storage[0].rate_limit: found "10" (text), expected a rate such as'],
  [
    "backfill = 90",
    'storage[0].backfill: found 90 (number), expected "all", "newest", or an age from "1d" to',
  ],
  [
    'backfill = "1h"',
    'storage[0].backfill: found "1h" (text), expected "all", "newest", or an age from "1d"',
  ],
  [
    'backfill = "newst"',
    'expected "all", "newest", or an age from "1d" to "36500d", such as "90d"; did you mean "newest"?',
  ],
  [
    'expire = { archive_to = "old" }\n[[storage]]\nname = "old"\ntype = "local"\npath = "/srv/old"\nkeep.days = 99\nbackfill = "all"',
    "storage[1].backfill: not allowed in a storage that another one names in archive_to",
  ],
])("%s is refused", async (lines, expected) => {
  expect((await mistakes(withStorage(lines))).join("\n")).toContain(expected);
});
