import { expect, test } from "bun:test";
import { manyDatabases } from "../../../test/fixtures/status-report.ts";
import { inTurns } from "../../base/steps.ts";
import { pageSteps } from "./page.tsx";
import { pageQuery } from "./query.ts";
import { rendered } from "./rendered.ts";

test("parts are rendered a few at a time", async () => {
  let done = 0;
  const parts = Array.from({ length: 10 }, (_, index) => ({
    toString() {
      done++;
      return `<${index}>`;
    },
  })) as unknown as string[];
  const steps = rendered(parts, 4);
  const counts: number[] = [];
  for (let step = steps.next(); !step.done; step = steps.next()) counts.push(done);
  expect([...counts, done]).toEqual([0, 4, 8, 10]);
  expect((await inTurns(rendered(parts, 4))).map(String).join("")).toBe("<0><1><2><3><4><5><6><7><8><9>");
});

test("a page of many databases is made in many steps", () => {
  const input = {
    report: manyDatabases(600),
    history: { backups: [], hasOlder: false },
    series: new Map(),
    query: pageQuery(new URLSearchParams()),
  };
  expect([...pageSteps(input)].length).toBeGreaterThan(25);
});
