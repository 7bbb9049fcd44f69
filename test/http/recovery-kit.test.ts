import { expect, test } from "bun:test";
import { pageOf } from "../fixtures/page-input.ts";
import { fullReport } from "../fixtures/status-report.ts";

test("an outdated recovery kit is a problem, and its date is at the bottom", () => {
  const shown = (is_current: boolean) =>
    pageOf({ ...fullReport(), recovery_kit: { made_at: fullReport().now, is_current } });
  expect(shown(false).includes("the recovery kit is older than a change of storages or keys")).toBe(true);
  expect(shown(false).includes("before a change of storages or keys")).toBe(true);
  expect(shown(true).includes("recovery kit made")).toBe(true);
  expect(shown(true).includes("a change of storages or keys")).toBe(false);
  expect(pageOf({ ...fullReport(), recovery_kit: null }).includes("recovery kit")).toBe(false);
});
