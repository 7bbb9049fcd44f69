import { availableParallelism } from "node:os";
import { dirname } from "node:path";
import { Glob } from "bun";

/** More would share the disks and ports of the real servers without a gain. */
const WORKERS_MAX = 4;

/**
 * The test files that `bun test FILTER…` would run, in batches that need a process each. Every file of `test/` is a batch
 * of its own, because they differ in length; those beside the source are quick, so a folder of `src/` is one. The longest
 * come first, so that no worker is left with one at the end.
 */
export function batchesOf(root: string, filters: readonly string[]): string[][] {
  const glob = new Glob("{src,test,scripts,bench}/**/*.test.ts");
  const isAsked = (file: string) =>
    filters.length === 0 || filters.some((filter) => file.includes(filter.replace(/^\.\//, "")));
  const files = [...glob.scanSync({ cwd: root })]
    .filter(isAsked)
    .sort((a, b) => weight(a) - weight(b) || (a < b ? -1 : 1));
  const batches = Map.groupBy(files, (file) =>
    file.startsWith("src/") ? dirname(file).split("/").slice(0, 2).join("/") : file,
  );
  return [...batches.values()];
}

/** Folders whose files take longest, first. */
const LONGEST = ["test/http/page/browser", "test/e2e/", "test/"];

function weight(file: string): number {
  const index = LONGEST.findIndex((prefix) => file.startsWith(prefix));
  return index === -1 ? LONGEST.length : index;
}

/** One worker for each core. */
export function workerCount(batches: number): number {
  return Math.max(1, Math.min(availableParallelism(), WORKERS_MAX, batches));
}

/** A line that `bun test` prints for a test that has ended, or for a file that starts. */
const TEST_OR_FILE = /^(?:\((?:pass|skip|todo|fail)\) |\S+\.test\.ts:$)/;

/**
 * The failed tests in the output of `bun test`, each with the errors printed before it, so that they can be repeated at
 * the end of a long run. The whole end of the output if it names none, as after a crash.
 */
export function failuresIn(output: string): string {
  const failures: string[] = [];
  let since: string[] = [];
  for (const line of output.split("\n")) {
    since.push(line);
    if (line.startsWith("(fail) ")) failures.push(since.join("\n"));
    if (TEST_OR_FILE.test(line)) since = [];
  }
  return failures.length > 0 ? failures.join("\n") : output.slice(-CRASH_CHARACTERS);
}

const CRASH_CHARACTERS = 4000;
