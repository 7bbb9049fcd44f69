import { expect, test } from "bun:test";
import type { HostRecord } from "../catalog/hosts.ts";
import { ALONE, ownership } from "./ownership.ts";

function hostRecord(host: string, servers: readonly string[], storages: readonly string[] = []): HostRecord {
  const at = "2026-11-23T00:00:00.000Z";
  return {
    ...{ host, version: "1", pid: 1, started_at: at, heartbeat_at: at, stopped_at: null },
    storages: storages.map((name) => ({ name, type: "local" })),
    servers: servers.map((name) => ({ name, at: `${name}:5432` })),
    ...{ next_runs: [], problems: [] },
  };
}

const named = (...servers: string[]) => servers.map((name) => ({ name }));
const backup = (server: string, host: string | null) => ({ server, host });

test("in a file everything is the host's, whoever made it, also of servers that its config no longer names", () => {
  for (const host of ["a", "gone", null])
    for (const server of ["main", "old"]) expect(ALONE.owns(backup(server, host))).toBeTrue();
});

test("the only registered host leaves backups of other servers, of a forgotten host or of a maker that nobody knows", () => {
  for (const registered of [[], [hostRecord("a", [])]]) {
    const { owns, ownsServer, hasServer, history } = ownership("a", named("main"), registered);
    const makers = ["a", "forgotten", null];
    expect(makers.map((host) => owns(backup("main", host)))).toEqual([true, true, true]);
    expect(makers.map((host) => owns(backup("old", host)))).toEqual([true, false, false]);
    expect([ownsServer("old"), hasServer("old", null), hasServer("old", "forgotten")]).toEqual([
      true,
      true,
      true,
    ]);
    expect(history).toEqual({ hosts: [], servers: [] });
  }
});

test("a server that one host names is that host's, whoever made the backups", () => {
  const registered = [hostRecord("a", ["main"]), hostRecord("b", ["shop"])];
  const [a, b] = [ownership("a", named("main"), registered), ownership("b", named("shop"), registered)];
  for (const host of ["a", "b", "gone", null]) {
    expect([a.owns(backup("main", host)), b.owns(backup("main", host))]).toEqual([true, false]);
    expect([a.owns(backup("shop", host)), b.owns(backup("shop", host))]).toEqual([false, true]);
  }
  expect([a.ownsServer("shop"), b.ownsServer("shop"), a.hasServer("shop", "a")]).toEqual([
    false,
    true,
    false,
  ]);
  expect(a.history).toEqual({ hosts: ["b"], servers: ["shop"] });
});

test("of a server that nobody names, a host owns the backups that it made; the others are nobody's", () => {
  const registered = [hostRecord("a", ["main"]), hostRecord("b", ["shop"])];
  const a = ownership("a", named("main"), registered);
  expect(["a", "b", "gone", null].map((host) => a.owns(backup("old", host)))).toEqual([
    true,
    false,
    false,
    false,
  ]);
  expect(a.ownsServer("old")).toBe(false);
  expect(["a", "b", "gone", null].map((host) => a.hasServer("old", host))).toEqual([true, false, true, true]);
});

test("of a server that several hosts name, each owns what it made, and the first by name what none of them made", () => {
  const registered = [hostRecord("a", ["main"]), hostRecord("b", ["main"]), hostRecord("c", [])];
  const [a, b] = ["a", "b"].map((host) => ownership(host, named("main"), registered));
  for (const [host, owners] of [
    ["a", [true, false]],
    ["b", [false, true]],
    ["c", [true, false]],
    [null, [true, false]],
  ] as const)
    expect([a?.owns(backup("main", host)), b?.owns(backup("main", host))]).toEqual([...owners]);
  expect([a?.ownsServer("main"), b?.ownsServer("main")]).toEqual([true, false]);
  expect([a?.history.servers, b?.history.servers]).toEqual([[], ["main"]]);
  // Only one of three is the first.
  const all = ["a", "b", "c"].map((host) => hostRecord(host, ["main"]));
  const three = all.map(({ host }) => ownership(host, named("main"), all));
  for (const host of ["gone", null])
    expect(three.map(({ owns }) => owns(backup("main", host)))).toEqual([true, false, false]);
  // The daemon of the first one is silent: its backups stay its own, the alerts about the server go on.
  const alone = ownership("b", named("main"), registered, ({ host }) => host !== "a");
  expect([
    alone.ownsServer("main"),
    alone.owns(backup("main", "a")),
    alone.owns(backup("main", null)),
  ]).toEqual([true, false, false]);
});

test("a command on a host without a daemon takes nothing of a server that a registered host names", () => {
  const { owns, ownsServer } = ownership("0", named("main"), [hostRecord("a", ["main"])]);
  expect(["a", "gone", null, "0"].map((host) => owns(backup("main", host)))).toEqual([
    false,
    false,
    false,
    true,
  ]);
  expect(ownsServer("main")).toBeFalse();
});

test("storages of other hosts are known by their names", () => {
  const registered = [hostRecord("a", [], ["disk", "s3"]), hostRecord("b", [], ["disk-b", "s3"])];
  const { hostsWithStorage } = ownership("a", [], registered);
  expect([hostsWithStorage("s3"), hostsWithStorage("disk-b"), hostsWithStorage("disk")]).toEqual([
    ["b"],
    ["b"],
    [],
  ]);
});
