import { expect, test } from "bun:test";
import { loadToml, MINIMAL } from "../../../test/fixtures/config-file.ts";

const CHECK = '[[restore_test.check]]\nname = "orders"\nsql = "select 1"\nexpect = 1\n';

test.each([
  ['[restore_test]\nallowed_errors = ["*"]\n', "restore_test.allowed_errors[0]"],
  ['[restore_test]\nallowed_errors = [""]\n', "restore_test.allowed_errors[0]"],
  [`[restore_test]\n${CHECK}databases = []\n`, "restore_test.check[0].databases"],
])("a setting that would make a test worthless is refused: %j", async (toml, where) => {
  await expect(loadToml(MINIMAL + toml)).rejects.toThrow(where);
});

test("a part of an error, and a glob with text, are allowed", async () => {
  const toml = `${MINIMAL}[restore_test]\nallowed_errors = ["plpython3u", "*extension*"]\n${CHECK}`;
  expect((await loadToml(toml)).restore_test.allowed_errors).toEqual(["plpython3u", "*extension*"]);
});
