import { expect, test } from "bun:test";
import { marks } from "../../test/fixtures/marks.ts";
import { database, freshReport } from "../../test/fixtures/status-report.ts";
import { PLAIN } from "../base/text/table.ts";
import { compactMarks } from "./marks-text.ts";
import type { DatabaseStatus } from "./report.ts";
import { statusText } from "./text.ts";

const TITLE = "\nMISSING MARKS OF 3-2-1-1-0 (x lost, - not set up, . not demanded)\n";
const missing = (databases: DatabaseStatus[], columns?: number) => {
  const [, rest = ""] = statusText(freshReport({ databases }), { ...PLAIN, columns }).split(TITLE);
  return rest.split("\n\n")[0]?.split("\n");
};

test("five marks in a few characters", () => {
  expect(compactMarks(marks("hhhhh"), PLAIN)).toBe("3 2 1 1 0");
  expect(compactMarks(marks("lhlnd"), PLAIN)).toBe("x 2 x - .");
  expect(compactMarks(marks("hhhhh", { demanded: 4 }), PLAIN)).toBe("4 4 4 4 4");
  expect(compactMarks([], PLAIN)).toBe("-");
  expect(compactMarks(undefined, PLAIN)).toBe("-");
});

test("each missing mark has its reason and its next step, within 80 columns, lost ones first; marks with one next step share it", () => {
  const databases = [
    database({ database: "app", marks: marks("hhhnn") }),
    database({ database: "billing", marks: marks("llhnh") }),
  ];
  const lines = missing(databases);
  expect(lines).toEqual([
    "3 copies lost since 2026-11-20 03:00 UTC: main/billing",
    "  2 of 3 copies: the live database, local; not in r2 (damaged)",
    "2 kinds of storage lost since 2026-11-20 03:00 UTC: main/billing",
    "  1 of 2 kinds of storage: disk (the live database, local); not in r2 (damaged)",
    "  next: fill the missing copies, with: pg321 repair",
    "1 immutable not set up: main/app, main/billing",
    "  no copy is immutable: no storage is set up to keep its copies",
    "  next: lock the copies of an S3 storage: docs/immutability.md",
    "0 errors not set up: main/app",
    "  no restore test has come to a result yet",
    "  next: restore the newest backups into scratch databases, with:",
    "    pg321 restore-test",
  ]);
  expect(missing([database({ marks: marks("hhhhh") })])).toEqual([""]);
});

test("many databases with one reason share it, and a command is never broken", () => {
  const long = {
    sentence: `${"word ".repeat(40)}end`,
    next_step: `make a new backup of this database as soon as you can, with: pg321 backup 'main/${"x".repeat(63)}'`,
  };
  const databases = Array.from({ length: 9 }, (_, index) =>
    database({ database: `database-${index}`, marks: marks("lllhh", long) }),
  );
  const lines = missing(databases) ?? [];
  expect(lines.slice(0, 2)).toEqual([
    "3 copies, 2 kinds of storage, 1 off-site lost since 2026-11-20 03:00 UTC:",
    "  main/database-0, main/database-1, main/database-2, main/database-3 and 5 more",
  ]);
  expect(lines.filter((line) => line.length > 80)).toEqual([`    pg321 backup 'main/${"x".repeat(63)}'`]);
  expect(lines.join(" ").match(/word/g)).toHaveLength(40);
});

test("very many reasons are counted", () => {
  const databases = Array.from({ length: 30 }, (_, index) =>
    database({ database: `db${index}`, marks: marks("lhhhh", { sentence: `reason ${index}` }) }),
  );
  expect(missing(databases)?.at(-1)).toBe("and 18 more: pg321 status --json");
});
