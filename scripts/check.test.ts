import { expect, test } from "bun:test";
import { copyFile, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { folderProblems, styleProblems } from "./check.ts";

const ROOT = join(import.meta.dir, "..");

const problem = (path: string, text: string) => styleProblems(path, text).join();

test.each([
  ["src/base/log.ts", "base must not import config", 'import { load } from "../config/load.ts";'],
  ["src/jobs/context.ts", "jobs must not import main", 'import { main } from "../main.ts";'],
  [
    "src/alerts/alert.ts",
    "alerts must not import jobs",
    'import type { RunScope } from "../jobs/record-run.ts";',
  ],
  [
    "src/jobs/context.ts",
    "jobs must not import jobs/copies",
    'import { reconcile } from "./copies/reconcile.ts";',
  ],
  [
    "src/jobs/copies/spool.ts",
    "jobs/copies must not import jobs/markers",
    'import { holdingsOf } from "../markers/storage-holdings.ts";',
  ],
  [
    "src/jobs/cleanup/plan.ts",
    "jobs/cleanup must not import jobs/backup",
    'import type { Target } from "../backup/targets.ts";',
  ],
  ["src/jobs/verify/repair.ts", "must not import jobs/restore", 'export { x } from "../restore/restore.ts";'],
  ["src/doctor/doctor.ts", "doctor must not import status", 'import { x } from "../status/status.ts";'],
  ["src/catalog/open.ts", "catalog must not import sealed", 'import { seal } from "../sealed/seal.ts";'],
  [
    "src/postgres/dump.ts",
    "must not import catalog",
    'import type { Catalog } from "../catalog/catalog.ts";',
  ],
  ["src/http/page.ts", "http must not import daemon", 'export { x } from "../daemon/x.ts";'],
  ["src/cli/commands/list.ts", "not in src", 'const x = await import("../../../test/x.ts");'],
  ["src/odd/x.ts", "odd has no rank", 'import { x } from "../base/x.ts";'],
  ["src/jobs/x.ts", "only src/config/load.ts", 'const home = process.env["HOME"];'],
  ["src/jobs/x.ts", "only src/main.ts", "process.exit(1);"],
  ["src/jobs/x.ts", "only src/base/clock.ts", "const a = Date.now();"],
  ["src/jobs/x.ts", "only src/base/clock.ts", "const a = new Date();"],
  ["src/jobs/x.ts", "only src/base/limits.ts", "const PAUSE_MS = 5 * 60_000;"],
  ["src/jobs/x.ts", "only src/config/config.ts", 'const file = "/var/lib/pg321/catalog.db";'],
  ["src/jobs/x.ts", "only src/jobs/copies/removal.ts", "await storage.remove(key, signal);"],
  ["src/daemon/x.ts", "only src/jobs/copies/removal.ts", "await to.discard(key, undefined, signal);"],
  ["src/jobs/x.ts", "351 lines", "\n".repeat(351)],
  ["src/jobs/backup-utils.ts", "the name says nothing", ""],
  ["test/lab/fooBar.ts", "kebab-case", ""],
])("%s is refused: %s", (path, expected, text) => {
  expect(problem(path, text)).toContain(expected);
});

test.each([
  ["src/main.ts", 'import { list } from "./cli/list.ts";\nprocess.exit(1);'],
  [
    "src/jobs/backup/backup.ts",
    'import { open } from "../../catalog/open.ts";\nimport { recordRun } from "../record-run.ts";',
  ],
  ["src/catalog/open.ts", 'import type { Config } from "../config/config.ts";\nprocess.exitCode = 1;'],
  ["src/sealed/a.ts", 'import { b } from "./parts/b.ts";\nconst at = new Date(0);'],
  ["src/config/load.ts", 'const home = process.env["HOME"];'],
  ["src/jobs/x.ts", 'import UNIT from "../../systemd/pg321.service" with { type: "text" };'],
  ["src/jobs/carried.d.ts", ""],
  ["src/jobs/copies/removal.ts", "await storage.remove(key, signal);"],
  ["src/storage/local/local.ts", "await this.remove(key, signal);"],
  ["src/sealed/a.test.ts", 'import { x } from "../../test/x.ts";\nDate.now();'],
  ["src/jobs/x.ts", "\n".repeat(350)],
])("%s is fine", (path, text) => {
  expect(problem(path, text)).toBe("");
});

test.each([
  [
    'src/jobs: 3 files begin with "doctor"',
    ["src/jobs/doctor.ts", "src/jobs/doctor-keys.ts", "src/jobs/doctor-server.tsx"],
  ],
  ['test/storage: 3 files begin with "s3"', ["a", "b", "c"].map((name) => `test/storage/s3-${name}.test.ts`)],
  [
    "src/base: 23 files, at most 22",
    Array.from({ length: 23 }, (_, index) => `src/base/${numbered(index)}.ts`),
  ],
])("%s", (expected, paths) => {
  expect(folderProblems(paths).join()).toContain(expected);
});

test.each([
  ["two with one prefix", ["src/stream/part.ts", "src/stream/part-queue.ts", "src/stream/parts.ts"]],
  ["tests beside one source", ["a", "b", "c"].map((name) => `src/stream/fan-out-${name}.test.ts`)],
  [
    "one file for each command",
    Array.from({ length: 30 }, (_, index) => `src/cli/commands/${numbered(index)}.ts`),
  ],
])("%s are accepted in a folder", (_, paths) => {
  expect(folderProblems(paths)).toEqual([]);
});

test("a cycle of imports is refused, even if it only imports types", async () => {
  const directory = await mkdtemp(join(tmpdir(), "pg321-check-"));
  try {
    await copyFile(join(ROOT, "biome.json"), join(directory, "biome.json"));
    await writeFile(join(directory, "a.ts"), 'import type { B } from "./b.ts";\n\nexport type A = B | 1;\n');
    await writeFile(
      join(directory, "b.ts"),
      'import type { A } from "./a.ts";\n\nexport type B = A[] | 2;\n',
    );
    const biome = join(ROOT, "node_modules/@biomejs/biome/bin/biome");
    const child = Bun.spawn([process.execPath, biome, "lint", "--vcs-enabled=false"], {
      cwd: directory,
      stdio: ["ignore", "pipe", "pipe"],
    });
    const [out, err, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
    expect(out + err).toContain("lint/suspicious/noImportCycles");
    expect(code).toBe(1);
  } finally {
    await rm(directory, { recursive: true });
  }
});

/** A name with a unique prefix. */
function numbered(index: number): string {
  return `${String.fromCharCode(97 + index)}x`.repeat(2);
}
