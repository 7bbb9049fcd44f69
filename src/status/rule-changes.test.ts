import { expect, test } from "bun:test";
import { backUp } from "../../test/lab/backed-up.ts";
import { beside } from "../../test/lab/data/shared-catalog.ts";
import { endpointLab } from "../../test/lab/endpoint.ts";
import { settleMarks } from "./rule-changes.ts";
import { statusReport } from "./status.ts";

test("of a server that hosts share, one host judges the marks, and another one if its daemon is silent", async () => {
  await using lab = await endpointLab();
  await backUp(lab, 5, { disk: "CONFIRMED" });
  const { catalog, host } = lab.context;
  const judge = async (change: { stopped_at?: string; heartbeat_at?: string }) => {
    const others = { [host]: { servers: ["main"] }, "0": { servers: ["main"], ...change } };
    await settleMarks(await beside(lab.context, others));
    return (await catalog.ruleMarks.list()).length > 0;
  };
  expect(await judge({})).toBe(false);
  const long = "2026-11-22T12:00:00.000Z";
  expect(await judge({ heartbeat_at: long })).toBe(true);
  await catalog.ruleMarks.replace([{ server: "main", database: "app", marks: [] }]);
  expect(await judge({})).toBe(false);
  expect(await judge({ stopped_at: long })).toBe(true);
});

test("a storage's copies are counted of this host's servers", async () => {
  await using lab = await endpointLab();
  await backUp(lab, 5, { disk: "CONFIRMED" });
  await backUp(lab, 5, { disk: "CONFIRMED" }, { server: "shop" });
  const context = await beside(lab.context, { other: { servers: ["shop"] } });
  const copies = async (source: typeof context) =>
    (await statusReport(source, lab.live)).storages.map((storage) => storage.copies);
  expect([await copies(context), await copies(lab.context)]).toEqual([[1], [2]]);
});
