import { afterAll, beforeAll, expect, test } from "bun:test";
import { join } from "node:path";
import { systemClock } from "../../../src/base/clock.ts";
import { openCatalog } from "../../../src/catalog/open.ts";
import { Installation, localStorage } from "../../lab/installation.ts";
import { onTerminal } from "../../lab/machine/terminal.ts";
import { backupRecord } from "../../suites/catalog/records.ts";

/** These tests do not use PostgreSQL. */
const NO_POSTGRES = { socket_dir: "", data_dir: "", bin_dir: "", port: 1, user: "u", password: "unused-pw" };
const ENTER = "\u001b[?1049h\u001b[?25l";
const LEAVE = "\u001b[?25h\u001b[?1049l";

let installation: Installation;
beforeAll(async () => {
  installation = await Installation.make({
    postgres: NO_POSTGRES,
    databases: ["*"],
    storages: (directory) => [localStorage("disk", directory)],
  });
});
afterAll(() => installation[Symbol.asyncDispose]());

test("the status is drawn again until Ctrl-C, and the terminal is left as it was", async () => {
  const words = ["status", "--watch", "--interval", "0.5"];
  const shown = onTerminal(words, { PG321_CONFIG: installation.configFile });
  await shown.shows(/every 500 ms; Ctrl-C ends this/);
  await shown.shows(/no database has been found yet/);
  const path = join(installation.directory, "state/catalog.db");
  {
    await using catalog = await openCatalog({ type: "sqlite", path }, { clock: systemClock });
    await catalog.insertBackup(backupRecord({ database: "appeared", status: "FAILED", error: "no reason" }));
  }
  await shown.shows(/main\/appeared/);
  shown.type("\u0003");
  const { exitCode, written } = await shown.ended;
  expect(exitCode).toBe(0);
  expect(written).toStartWith(ENTER);
  expect(written).toMatch(/\u001b\[\?25h\u001b\[\?1049l(\^C)?$/);
  expect(written.split(ENTER)).toHaveLength(2);
  // Nothing was scrolled: each frame fits, and is drawn over the one before.
  const frames = written.split("\u001b[H").slice(1);
  expect(frames.length).toBeGreaterThan(1);
  for (const frame of frames) expect(frame.split("\n").length).toBeLessThanOrEqual(24);
  expect(written).not.toContain(`${LEAVE}${ENTER}`);
}, 60_000);

test.each([
  [["--watch"], "status: --watch needs a terminal\nhint: stdout is not one, or TERM is dumb; "],
  [["--watch", "--json"], "status: --watch cannot be used with --json: "],
  [["--watch", "--exit-code"], "status: --watch cannot be used with --exit-code: "],
  [["--interval", "2s"], "status: --interval needs --watch\n"],
  [["--watch", "--interval", "0"], 'status: --interval is "0", expected 500ms to 1h'],
  [["--watch", "--interval", "soon"], 'status: --interval is "soon", expected 500ms to 1h'],
])("status %p in a pipe is refused", async (words, message) => {
  const { exitCode, stdout, stderr } = await installation.run("status", ...words);
  expect({ exitCode, stdout }).toEqual({ exitCode: 2, stdout: "" });
  expect(stderr).toStartWith(`error: ${message}`);
});

test("a dumb terminal is refused, and a mistake in the config ends it before anything is drawn", async () => {
  const dumb = onTerminal(["status", "--watch"], { PG321_CONFIG: installation.configFile, TERM: "dumb" });
  expect((await dumb.ended).exitCode).toBe(2);
  const missing = onTerminal(["status", "--watch"], { PG321_CONFIG: "/nowhere.toml" });
  const { exitCode, written } = await missing.ended;
  expect(exitCode).toBe(2);
  expect(written).toStartWith("error: ");
});
