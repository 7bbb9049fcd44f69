import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../src/base/clock.ts";
import { openCatalog } from "../src/catalog/open.ts";

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "pg321-processes-"));
});
afterAll(() => rm(directory, { recursive: true }));

function start(...args: string[]) {
  const command = [process.execPath, join(import.meta.dir, "fixtures/catalog-process.ts"), ...args];
  const child = Bun.spawn(command, { stdin: "pipe", stdout: "pipe", stderr: "pipe" });
  return { child, lines: linesOf(child.stdout), stderr: new Response(child.stderr).text() };
}

async function* linesOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<string, undefined> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const bytes of stream) {
    const lines = (rest + decoder.decode(bytes, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    yield* lines;
  }
}

const open = (path: string) => openCatalog({ type: "sqlite", path }, { clock: systemClock });
const goOn = ({ child }: ReturnType<typeof start>) => {
  child.stdin.write("\n");
  child.stdin.flush();
};

test("if several processes open a new catalog and race for one lease, exactly one gets it", async () => {
  const path = join(directory, "race.db");
  const racers = Array.from({ length: 5 }, () => start("race", path, "backup of main/app"));
  for (const racer of racers) expect((await racer.lines.next()).value ?? (await racer.stderr)).toBe("open");
  for (const racer of racers) goOn(racer);
  const results = await Promise.all(racers.map(async ({ lines }) => (await lines.next()).value));
  expect(results.toSorted()).toEqual(["locked", "locked", "locked", "locked", "won"]);
  for (const [index, racer] of racers.entries()) if (results[index] === "won") goOn(racer);
  expect(await Promise.all(racers.map(({ child }) => child.exited))).toEqual([0, 0, 0, 0, 0]);
  await using catalog = await open(path);
  expect(await catalog.leases()).toEqual([]);
});

test("the lease of a killed process is free at once", async () => {
  const path = join(directory, "killed.db");
  const winner = start("race", path, "n");
  await winner.lines.next();
  goOn(winner);
  expect((await winner.lines.next()).value).toBe("won");
  winner.child.kill("SIGKILL");
  await winner.child.exited;
  const next = start("race", path, "n");
  await next.lines.next();
  goOn(next);
  expect((await next.lines.next()).value).toBe("won");
  goOn(next);
  expect(await next.child.exited).toBe(0);
});

test("many writers at once all succeed, and nothing is lost", async () => {
  const path = join(directory, "writers.db");
  const writers = Array.from({ length: 4 }, () => start("write", path, "100"));
  const written = await Promise.all(writers.map(({ lines }) => Array.fromAsync(lines)));
  for (const writer of writers) expect(`${await writer.child.exited}${await writer.stderr}`).toBe("0");
  await using catalog = await open(path);
  const stored = await catalog.backups({ status: ["VERIFIED"] });
  expect(stored.map(({ id }) => id).toSorted()).toEqual(written.flat().toSorted());
  expect(stored).toHaveLength(400);
});

test("kill -9 of a writer loses nothing committed", async () => {
  const path = join(directory, "crash.db");
  const writer = start("write", path, "1000000");
  const written: string[] = [];
  for await (const id of writer.lines) {
    written.push(id);
    if (written.length === 50) writer.child.kill("SIGKILL");
  }
  expect(await writer.child.exited).toBe(137);
  await using catalog = await open(path);
  const stored = new Set((await catalog.backups({ status: ["VERIFIED"] })).map(({ id }) => id));
  expect(written.filter((id) => !stored.has(id))).toEqual([]);
  expect(written.length).toBeGreaterThanOrEqual(50);
});
