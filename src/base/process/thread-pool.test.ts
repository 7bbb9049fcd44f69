import { expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { ManualClock } from "../../../test/lab/manual-clock.ts";
import { PoolWatch } from "./thread-pool.ts";

/** A program that lets this many calls hang on a pipe that nobody writes to, then reads a file. */
const PROGRAM = `
  import { open, stat } from "node:fs/promises";
  import { widenThreadPool } from ${JSON.stringify(join(import.meta.dir, "thread-pool.ts"))};
  await widenThreadPool();
  for (let call = 0; call < Number(process.argv[2]); call++) void open(process.argv[3], "r");
  await stat("/");
  console.log("answered");
  process.exit();
`;

// Compiled, as pg321 is: from source the runtime uses the pool to load files before anything can enlarge it.
test("the pool answers while a dozen more calls hang than there are cores", async () => {
  const directory = await mkdtemp(join(tmpdir(), "pg321-pool-"));
  const [source, program, pipe] = [
    join(directory, "program.ts"),
    join(directory, "program"),
    join(directory, "pipe"),
  ];
  await Bun.write(source, PROGRAM);
  await Bun.build({ entrypoints: [source], format: "esm", bytecode: true, compile: { outfile: program } });
  expect(Bun.spawnSync(["mkfifo", pipe]).exitCode).toBe(0);
  const calls = String(availableParallelism() + 12);
  const child = Bun.spawn([program, calls, pipe], { stdout: "pipe", timeout: 20_000 });
  expect(await new Response(child.stdout).text()).toBe("answered\n");
  await rm(directory, { recursive: true });
}, 60_000);

test("the silence of a pool that does not answer is measured, with one open question at a time", async () => {
  const clock = new ManualClock();
  const questions: (() => void)[] = [];
  const watch = new PoolWatch(clock, () => new Promise<void>((resolve) => questions.push(resolve)));
  expect(watch.silentMs()).toBe(0);
  watch.look();
  await clock.advance(60_000);
  watch.look();
  expect(watch.silentMs()).toBe(60_000);
  expect(questions).toHaveLength(1);
  questions[0]?.();
  await Promise.resolve();
  expect(watch.silentMs()).toBe(0);
});
