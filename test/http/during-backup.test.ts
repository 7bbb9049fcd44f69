import { afterAll, beforeAll, expect, test } from "bun:test";
import { join } from "node:path";
import type { StatusReport } from "../../src/status/report.ts";
import { fillBulk } from "../lab/data/bulk-database.ts";
import { Installation, localStorage } from "../lab/installation.ts";
import { watched } from "../lab/machine/running.ts";
import { usePostgres } from "../lab/servers/use-postgres.ts";

const DUMP_MIB = 256;
const TICK_MS = 100;

const postgres = usePostgres();
let installation: Installation;
let socket: string;

beforeAll(async () => {
  const database = await postgres.createDatabase();
  await fillBulk(postgres.connect(database), DUMP_MIB);
  installation = await Installation.make({
    postgres: postgres.address,
    databases: [database],
    storages: (directory) => [localStorage("disk", directory), localStorage("usb", directory)],
  });
  socket = join(installation.directory, "http.sock");
  await installation.configure({
    more: `[http]\nlisten = "unix:${socket}"\n[schedule]\nbackup = "* * * * * *"\ncleanup = "off"\nverify = "off"\nrepair = "off"\n`,
  });
}, 60_000);
afterAll(() => installation[Symbol.asyncDispose]());

const ask = (path: string) => fetch(`http://localhost${path}`, { unix: socket });
/** The running backup, and its progress. */
const dumping = ({ running }: StatusReport) =>
  running.flatMap(({ run_id, progress }) => progress.map(({ bytes }) => ({ run_id, bytes })))[0];

test("the endpoint keeps answering while a backup runs at full speed", async () => {
  const daemon = watched(installation.start("run"));
  await daemon.says("the HTTP endpoint is open");
  const status = async () => (await (await ask("/status?format=json")).json()) as StatusReport;
  await daemon.until("a dump is under way", async () => (dumping(await status())?.bytes ?? 0) > 0);

  const { run_id } = dumping(await status()) ?? {};
  let [answers, ticks, isOver] = [0, 0, run_id === undefined];
  const moments = new Set<number>();
  const ticking = setInterval(() => void ticks++, TICK_MS);
  // One request after the other, so that there are never more than the endpoint can answer.
  while (!isOver) {
    expect((await ask("/health")).status).toBe(200);
    answers++;
    const now = dumping(await status());
    isOver = now?.run_id !== run_id;
    if (now && !isOver) moments.add(now.bytes);
  }
  clearInterval(ticking);
  daemon.kill("SIGTERM");
  await daemon.ended;

  // More answers than intervals of 100 ms: on average none took longer, even with a /status each.
  expect(answers).toBeGreaterThan(ticks);
  // The answers came from the whole duration of the dump, not from before and after it.
  expect(moments.size).toBeGreaterThan(10);
}, 120_000);
