import { expect, test } from "bun:test";
import { freshReport, storage } from "../../test/fixtures/status-report.ts";
import { storageState } from "./storage-state.ts";
import { verdictOf } from "./verdict.ts";

const GIB = 2 ** 30;
const withMinFree = (minFree: string) => ({ location: { path: "/srv/backup", min_free: minFree } });

test.each([
  ["unreachable", { is_reachable: false, free_bytes: null }],
  ["not checked", { is_reachable: null, free_bytes: null, total_bytes: null }],
  ["reachable", { ...withMinFree("0"), free_bytes: 999 * GIB }],
  ["reachable", { ...withMinFree(String(GIB)), free_bytes: 400 * GIB }],
  ["reachable", { ...withMinFree(String(GIB)), free_bytes: GIB, total_bytes: GIB }],
  ["nearly full", { ...withMinFree(String(GIB)), free_bytes: 60 * GIB }],
  // A small disk that is empty: all of it is free, and nothing can be stored.
  ["below min_free", { ...withMinFree(String(GIB)), free_bytes: GIB / 2, total_bytes: GIB / 2 }],
  ["below min_free", { ...withMinFree(String(GIB)), free_bytes: GIB - 1 }],
] as const)("a storage is %s, for its free space and min_free", (state, part) => {
  expect(storageState(storage(part))).toBe(state);
});

test("a storage that takes no more copies is a problem, with both sizes", () => {
  const part = { name: "usb", ...withMinFree(String(GIB)), free_bytes: GIB / 2, total_bytes: GIB / 2 };
  const { problems } = verdictOf(freshReport({ storages: [storage(part)] }));
  expect(problems).toEqual([
    { level: "bad", text: "storage usb takes no more copies: 512 MiB free, but min_free is 1.0 GiB" },
  ]);
});
