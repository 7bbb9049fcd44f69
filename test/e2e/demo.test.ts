import { expect, test } from "bun:test";
import { chmod, mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

const DEMO = join(import.meta.dir, "../../scripts/demo.ts");

/** Runs the demo, and ends it with SIGTERM as soon as its output contains `until`. */
async function runDemo(until?: string, ...more: string[]) {
  const directory = await mkdtemp(join(tmpdir(), "pg321-demo-test-"));
  // Its PostgreSQL runs as another user.
  await chmod(directory, 0o711);
  const child = Bun.spawn([process.execPath, DEMO, "--scale", "0.02", ...more], {
    env: { ...process.env, TMPDIR: directory, NO_COLOR: "1" },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const stderr = new Response(child.stderr).text();
  let stdout = "";
  for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) {
    stdout += text;
    if (until !== undefined && stdout.includes(until)) child.kill("SIGTERM");
  }
  const exitCode = await child.exited;
  const left = await readdir(directory);
  await rm(directory, { recursive: true, force: true });
  return { exitCode, stdout, stderr: await stderr, left };
}

test("the demo runs to its end and leaves nothing behind", async () => {
  const { exitCode, stdout, stderr, left } = await runDemo();
  expect({ exitCode, stderr: exitCode === 0 ? "" : stderr }).toEqual({ exitCode: 0, stderr: "" });
  expect(stdout).toContain("compared on the server");
  expect(stdout).toContain("(exit 14)");
  expect(stdout).toContain('{"status":"ok"}');
  expect(stdout).toMatch(/^pg321_runs_total\{pg321_job="cleanup",outcome="OK"\} 1$/m);
  expect(stdout).toContain("the daemon ended with 0");
  expect(stdout).toContain("Everything worked");
  expect(stdout).not.toContain("\u001b");
  expect(left).toEqual([]);
}, 60_000);

test("a demo that is ended by a signal removes everything", async () => {
  const { exitCode, stdout, left } = await runDemo("$ pg321 backup");
  expect(exitCode).toBe(143);
  expect(stdout).not.toContain("Everything worked");
  expect(left).toEqual([]);
}, 60_000);

test("--stay keeps the daemon running and prints the address of its page, until the demo is ended", async () => {
  const { exitCode, stdout, left } = await runDemo("Ctrl-C ends the demo", "--stay");
  expect(exitCode).toBe(143);
  expect(stdout).toMatch(/its page is at http:\/\/127\.0\.0\.1:\d+\//);
  expect(left).toEqual([]);
}, 60_000);

test("--proof shows all five marks, the loss of one, and that it is gained back", async () => {
  const { exitCode, stdout, stderr, left } = await runDemo(undefined, "--proof");
  expect({ exitCode, stderr: exitCode === 0 ? "" : stderr }).toEqual({ exitCode: 0, stderr: "" });
  expect(stdout.match(/ 3 2 1 1 0 /g)).toHaveLength(2);
  expect(stdout).toContain("3 copies lost since");
  expect(left).toEqual([]);
}, 120_000);
