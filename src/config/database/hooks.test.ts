import { expect, test } from "bun:test";
import { loadToml, MINIMAL, refusal } from "../../../test/fixtures/config-file.ts";

const withHooks = (lines: string) => MINIMAL.replace('name = "main"', `name = "main"\n${lines}`);

const ONLY_BEFORE = "not a key of this hook: only a pre_backup can stop the backup";

test.each([
  [
    'post_backup = [{ sql = "select 1", on_error = "continue" }]',
    `3: server[0].post_backup[0].on_error: ${ONLY_BEFORE}`,
  ],
  [
    'on_failure = [\n{ sql = "select 1" },\n{ command = ["/bin/true"], on_error = "stop" }]',
    `5: server[0].on_failure[1].on_error: ${ONLY_BEFORE}`,
  ],
  [
    '[[database]]\nname = "a"\npost_backup = [{ sql = "select 1", on_error = "stop" }]',
    `5: database[0].post_backup[0].on_error: ${ONLY_BEFORE}`,
  ],
  [
    'pre_backup = [{ sql = "select 1", shell = true }]',
    "3: server[0].pre_backup[0].shell: found true beside sql, expected a command",
  ],
])("a key that would have no effect is refused with its line: %s", async (lines, expected) => {
  expect((await refusal(withHooks(lines))).message).toContain(expected);
});

test("a hook stops the backup unless it may continue", async () => {
  const { server } = await loadToml(
    withHooks(
      'pre_backup = [{ sql = "x" }, { sql = "x", on_error = "continue" }]\npost_backup = [{ sql = "x" }]',
    ),
  );
  expect(server[0]?.pre_backup?.map(({ on_error }) => on_error)).toEqual(["stop", "continue"]);
  expect(server[0]?.post_backup?.map(({ on_error }) => on_error)).toEqual([undefined]);
});
