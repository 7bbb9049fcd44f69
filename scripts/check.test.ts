import { expect, test } from "bun:test";
import { styleProblems } from "./check.ts";

const problem = (path: string, text: string) => styleProblems(path, text).join();

test.each([
  ["src/base/log.ts", "base must not import config", 'import { load } from "../config/load.ts";'],
  ["src/jobs/backup/backup.ts", "jobs must not import main", 'import { main } from "../main.ts";'],
  ["src/catalog/open.ts", "catalog must not import sealed", 'import { seal } from "../sealed/seal.ts";'],
  [
    "src/postgres/dump.ts",
    "must not import catalog",
    'import type { Catalog } from "../catalog/catalog.ts";',
  ],
  ["src/http/page.ts", "http must not import daemon", 'export { x } from "../daemon/x.ts";'],
  ["src/cli/commands/list.ts", "not in src", 'const x = await import("../../test/x.ts");'],
  ["src/odd/x.ts", "is no layer", 'import { x } from "../base/x.ts";'],
  ["src/jobs/x.ts", "only src/config/load.ts", 'const home = process.env["HOME"];'],
  ["src/jobs/x.ts", "only src/main.ts", "process.exit(1);"],
  ["src/jobs/x.ts", "only src/base/clock.ts", "const a = Date.now();"],
  ["src/jobs/x.ts", "only src/base/clock.ts", "const a = new Date();"],
  ["src/jobs/x.ts", "only src/jobs/copies/removal.ts", "await storage.remove(key, signal);"],
  ["src/daemon/x.ts", "only src/jobs/copies/removal.ts", "await to.discard(key, undefined, signal);"],
  ["src/jobs/x.ts", "351 lines", "\n".repeat(351)],
  ["src/jobs/backup-utils.ts", "says nothing", ""],
  ["test/lab/fooBar.ts", "kebab-case", ""],
])("%s is refused: %s", (path, expected, text) => {
  expect(problem(path, text)).toContain(expected);
});

test.each([
  ["src/main.ts", 'import { list } from "./cli/list.ts";\nprocess.exit(1);'],
  [
    "src/jobs/backup/backup.ts",
    'import { open } from "../catalog/open.ts";\nimport { seal } from "../sealed/seal.ts";',
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
