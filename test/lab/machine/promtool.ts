import { join } from "node:path";

/** `scripts/setup.mjs` puts promtool there. */
const PROMTOOL = join(import.meta.dir, "../../../node_modules/.cache/promtool/promtool");

export interface PromtoolResult {
  exitCode: number;
  /** Stdout and stderr; promtool prints problems to either. */
  output: string;
}

/** Runs the real promtool, in `test/..` unless `cwd` is given, with `input` on its stdin. */
export async function promtool(
  args: readonly string[],
  { input = "", cwd = join(import.meta.dir, "../../..") }: { input?: string; cwd?: string } = {},
): Promise<PromtoolResult> {
  const child = Bun.spawn([PROMTOOL, ...args], {
    cwd,
    stdin: Buffer.from(input),
    stdout: "pipe",
    stderr: "pipe",
  });
  const [stdout, stderr, exitCode] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return { exitCode, output: stdout + stderr };
}
