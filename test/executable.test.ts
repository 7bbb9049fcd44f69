import { afterAll, beforeAll, expect, test } from "bun:test";
import { exists, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { version } from "../package.json";
import { build, EXECUTABLE } from "../scripts/build.ts";

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "pg321-executable-"));
  // The runner has just built it; if this file runs alone there may be none.
  if (!(await exists(EXECUTABLE))) await build(EXECUTABLE);
});
afterAll(() => rm(directory, { recursive: true }));

async function run(args: string[], env: Record<string, string> = {}) {
  const child = Bun.spawn([EXECUTABLE, ...args], { cwd: directory, env, stdout: "pipe", stderr: "pipe" });
  const [stdout, stderr] = await Promise.all([child.stdout.text(), child.stderr.text()]);
  return { exitCode: await child.exited, stdout, stderr };
}

test("it needs no other file to print its version and commit", async () => {
  const { exitCode, stdout, stderr } = await run(["--version"]);
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
  expect(stdout).toContain(version);
  expect(stdout).toMatch(/\b[0-9a-f]{7,}\b|unknown/);
});

test("code and settings in the working directory are not loaded", async () => {
  const clean = await run(["--version"]);
  await Bun.write(join(directory, "evil.ts"), 'console.log("evil"); process.exit(99);');
  await Bun.write(
    join(directory, "bunfig.toml"),
    'preload = ["./evil.ts"]\n[run]\npreload = ["./evil.ts"]\n',
  );
  // Bun would read both from a .env file: one turns the program into Bun itself, the other logs requests.
  await Bun.write(join(directory, ".env"), "BUN_BE_BUN=1\nPG321_CONFIG=/from-dotenv.toml\n");
  await Bun.write(join(directory, "package.json"), "not json");
  await Bun.write(join(directory, "tsconfig.json"), "not json");
  expect(await run(["--version"])).toEqual(clean);
  expect((await run(["check"])).stderr).not.toContain("/from-dotenv.toml");
});
