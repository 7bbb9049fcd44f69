import { expect, test } from "bun:test";
import { loadToml, MINIMAL, mistakes } from "../../../test/fixtures/config-file.ts";

/** Every age in the config: nothing waits for it, so only its meaning limits it. */
const AGES = [
  ["rule", "restore_test_max_age"],
  ["guard", "stale_after"],
  ["cleanup", "temp_max_age"],
  ["cleanup", "upload_max_age"],
  ["cleanup", "tombstones"],
  ["cleanup", "history"],
  ["schedule", "catch_up"],
] as const;

test.each(AGES)("[%s] %s: more than a hundred years is a mistake", async (table, key) => {
  const config = (value: string) => `${MINIMAL}[${table}]\n${key} = "${value}"\n`;
  const [found] = await mistakes(config("99999999d"));
  expect(found).toMatch(
    new RegExp(`${table}.${key}: found "99999999d" \\(text\\), expected a duration from ".*" to "36500d"`),
  );
  expect(await loadToml(config("36500d"))).toBeDefined();
});

test("[[storage]] backfill: more than a hundred years is a mistake", async () => {
  const config = (value: string) => MINIMAL.replace('type = "local"\n', `$&backfill = "${value}"\n`);
  expect((await mistakes(config("99999999d")))[0]).toContain('an age from "1d" to "36500d"');
  expect(await loadToml(config("36500d"))).toBeDefined();
});
