import { expect, test } from "bun:test";
import type { Schedule } from "../../jobs/schedules.ts";
import { owedAfterReload } from "./owed.ts";

const DATABASES = ["app", "shop", "old"];

function schedule(name: string, databases: readonly string[], job: Schedule["job"] = "backup"): Schedule {
  return { name, job, pattern: "0 1 * * *", selects: (_, database) => databases.includes(database) };
}

function owed(waiting: readonly Schedule[], current: readonly Schedule[]): Record<string, string[]> {
  const runs = owedAfterReload(waiting, current);
  return Object.fromEntries(
    runs.map(({ name, selects }) => [name, DATABASES.filter((database) => selects("main", database))]),
  );
}

test("a waiting run keeps a database that moves to a schedule without a waiting run", () => {
  const current = [schedule("backup busy", ["shop"]), schedule("backup", ["app"])];
  expect(owed([schedule("backup", ["app", "shop"])], current)).toEqual({ backup: ["app", "shop"] });
});

test("a run whose schedule is gone keeps its databases that another schedule has", () => {
  const current = [schedule("backup hot", ["shop"]), schedule("backup", ["app"])];
  expect(owed([schedule("backup busy", ["shop", "old"])], current)).toEqual({ "backup busy": ["shop"] });
});

test("of two schedules that both wait, the one that has the database now backs it up", () => {
  const waiting = [schedule("backup busy", ["shop"]), schedule("backup", ["app"])];
  const current = [schedule("backup busy", ["app"]), schedule("backup", ["shop"])];
  expect(owed(waiting, current)).toEqual({ "backup busy": ["app"], backup: ["shop"] });
});

test("what is owed is kept by a second reload, and dropped with the last schedule of the database", () => {
  const first = owedAfterReload(
    [schedule("backup", ["app", "shop"])],
    [schedule("backup busy", ["shop"]), schedule("backup", ["app"])],
  );
  expect(owed(first, [schedule("backup hot", ["shop"]), schedule("backup", ["app"])])).toEqual({
    backup: ["app", "shop"],
  });
  expect(owed(first, [schedule("backup", ["app"])])).toEqual({ backup: ["app"] });
});

test("schedules of other jobs count for nothing", () => {
  const current = [schedule("verify", DATABASES, "verify")];
  expect(owed([schedule("backup", ["app"])], current)).toEqual({ backup: [] });
});
