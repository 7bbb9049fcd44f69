import { expect, test } from "bun:test";
import type { Catalog } from "../../../src/catalog/catalog.ts";

const SINCE = "2026-11-23T03:00:00.000Z";
const mark = (rule: string, state: string) => ({ rule, state, since: SINCE });

/** The marks of 3-2-1-1-0. */
export function ruleMarks(use: () => Catalog, reopen: () => Promise<void>): void {
  test("replace those of the databases they are about, also after reopening", async () => {
    const [app, crm] = ["app", "crm"].map((database) => ({ server: "main", database }));
    if (app === undefined || crm === undefined) throw new Error();
    expect(await use().ruleMarks.list()).toEqual([]);
    await use().ruleMarks.replace([
      { ...crm, marks: [mark("copies", "held")] },
      { ...app, marks: [mark("kinds", "lost"), mark("copies", "held")] },
    ]);
    await reopen();
    expect(await use().ruleMarks.list()).toEqual([
      { ...app, ...mark("copies", "held") },
      { ...app, ...mark("kinds", "lost") },
      { ...crm, ...mark("copies", "held") },
    ]);
    await use().ruleMarks.replace([{ ...app, marks: [mark("copies", "lost")] }]);
    await use().ruleMarks.replace([{ ...crm, marks: [] }]);
    expect(await use().ruleMarks.list()).toEqual([{ ...app, ...mark("copies", "lost") }]);
  });

  test("all or none are replaced", async () => {
    const before = await use().ruleMarks.list();
    const twice = [mark("copies", "lost"), mark("copies", "held")];
    const changes = [
      { server: "other", database: "good", marks: [mark("copies", "held")] },
      { server: "other", database: "twice", marks: twice },
    ];
    await expect(use().ruleMarks.replace(changes)).rejects.toThrow();
    expect(await use().ruleMarks.list()).toEqual(before);
  });
}
