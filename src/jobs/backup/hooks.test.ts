import { afterEach, beforeEach, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadToml, MINIMAL } from "../../../test/fixtures/config-file.ts";
import { type AlertLab, alertLab } from "../../../test/lab/alert-context.ts";
import { eventually } from "../../../test/lab/machine/running.ts";
import { backupRecord, runRecord } from "../../../test/suites/catalog/records.ts";
import { Pg321Error } from "../../base/errors.ts";
import type { JobContext } from "../context.ts";
import { hookRunsOf } from "./hook-runs.ts";
import { BackupHooks } from "./hooks.ts";

let directory: string;
let lab: AlertLab;
let program: AbortController;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "pg321-hooks-"));
  lab = await alertLab();
  program = new AbortController();
});
afterEach(async () => {
  await lab[Symbol.asyncDispose]();
  await rm(directory, { recursive: true });
});

const stopped = () => new Pg321Error("terminated", "ended by SIGTERM");
const at = (name: string) => join(directory, name);
/** A hook that says that it has begun, and ends when the test lets it go. */
const waiting = (name: string) =>
  `{ name = "${name}", shell = true, command = "touch ${at(name)}; until test -e ${at(`go-${name}`)}; do sleep 0.01; done" }`;
const letGo = (name: string) => writeFile(at(`go-${name}`), "");
const begins = (name: string) => eventually(() => existsSync(at(name)));

async function hooksOf(lines: string) {
  const config = await loadToml(MINIMAL.replace('name = "main"', `name = "main"\n${lines}`));
  const [server] = config.server;
  if (!server) throw new Error("no server");
  const run = runRecord({});
  await lab.catalog.insertRun(run);
  const backup = backupRecord({ run_id: run.id });
  await lab.catalog.insertBackup(backup);
  const context = { ...lab, catalog: lab.catalog, config, signal: program.signal } as unknown as JobContext;
  const runs = async () => {
    const found = await lab.catalog.backup(backup.id);
    const hooks = found && hookRunsOf(found);
    return hooks && [...hooks.post_backup, ...hooks.on_failure].map(({ outcome, error }) => error ?? outcome);
  };
  return { hooks: new BackupHooks(context, server, backup), runs };
}

test("after a backup that was stopped while its rows were counted, post_backup still thaws", async () => {
  const { hooks, runs } = await hooksOf(
    'post_backup = [{ command = ["/bin/true"] }, { command = ["/bin/true"] }]',
  );
  program.abort(stopped());
  await hooks.after("VERIFIED", program.signal);
  expect(await runs()).toEqual(["OK", "OK"]);
});

test("a stop during the first post_backup leaves it and the others 10 s together", async () => {
  const { hooks, runs } = await hooksOf(`post_backup = [${waiting("a")}, ${waiting("b")}, ${waiting("c")}]`);
  const ended = hooks.after("VERIFIED", program.signal);
  await begins("a");
  program.abort(stopped());
  await lab.clock.advance(9_000);
  await letGo("a");
  await begins("b");
  await letGo("b");
  await begins("c");
  await lab.clock.advanceUntil(ended);
  const late = 'hook post_backup "c" failed: the backup was stopped, and hooks then have 10 s';
  expect(await runs()).toEqual(["OK", "OK", late]);
});

test("on_failure ends 10 s after a stop, also if it was running already", async () => {
  const { hooks, runs } = await hooksOf(`on_failure = [${waiting("a")}]`);
  const ended = hooks.failed();
  await begins("a");
  await lab.clock.advance(60_000);
  program.abort(stopped());
  await lab.clock.advance(10_000);
  await lab.clock.advanceUntil(ended);
  expect(await runs()).toEqual([
    'hook on_failure "a" failed: the backup was stopped, and hooks then have 10 s',
  ]);
});
