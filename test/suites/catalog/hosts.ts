import { describe, expect, test } from "bun:test";
import type { Catalog } from "../../../src/catalog/catalog.ts";
import type { HostRecord } from "../../../src/catalog/hosts.ts";
import type { RunRecord } from "../../../src/catalog/records.ts";
import { backupRecord, runRecord } from "./records.ts";

const at = (minute: number) => `2031-01-01T00:${String(minute).padStart(2, "0")}:00.000Z`;

export function hostRecord(change: Partial<HostRecord> = {}): HostRecord {
  return {
    host: "web1",
    version: "1.2.3",
    pid: 42,
    started_at: at(0),
    heartbeat_at: at(1),
    stopped_at: null,
    storages: [{ name: "disk-web1", type: "local" }],
    servers: [{ name: "main", at: "/run/postgresql/.s.PGSQL.5432" }],
    next_runs: [{ schedule: "backup busy", job: "backup", at: at(30), interval_ms: 3_600_000 }],
    problems: ["the schedule was not checked for 300 s"],
    ...change,
  };
}

export function hosts(use: () => Catalog, reopen: () => Promise<void>): void {
  test("each host has one record, which its next sign of life replaces", async () => {
    expect(await use().hosts.all()).toEqual([]);
    const other = hostRecord({ host: "Web2", storages: [], servers: [], next_runs: [], problems: [] });
    for (const one of [hostRecord(), other]) await use().hosts.put(one);
    const stopped = hostRecord({ heartbeat_at: at(5), stopped_at: at(5), next_runs: [], pid: 43 });
    await use().hosts.put(stopped);
    await reopen();
    // In the order of bytes.
    expect(await use().hosts.all()).toEqual([other, stopped]);
    expect(await use().hosts.one("web1")).toEqual(stopped);
    expect(await use().hosts.one("web3")).toBeUndefined();
    await use().hosts.put(hostRecord({ heartbeat_at: at(6) }));
    expect((await use().hosts.one("web1"))?.stopped_at).toBeNull();
  });

  test("a host is removed only if it has stopped or is silent, and nothing else with it", async () => {
    await use().hosts.put(hostRecord({ heartbeat_at: at(10) }));
    const backup = backupRecord({ server: "of-hosts", host: "web1" });
    await use().insertBackup(backup);
    expect(await use().hosts.forget("web1", at(9))).toBe(false);
    expect(await use().hosts.forget("web1", at(10))).toBe(true);
    expect(await use().hosts.forget("web1", at(10))).toBe(false);
    await use().hosts.put(hostRecord({ heartbeat_at: at(10), stopped_at: at(10) }));
    expect(await use().hosts.forget("web1", at(0))).toBe(true);
    expect(await use().backup(backup.id)).toEqual(backup);
  });

  test("backups are found by the host that made them", async () => {
    const ids: string[] = [];
    for (const host of ["web8", "web9", null]) {
      const backup = backupRecord({ server: "by-host", host });
      await use().insertBackup(backup);
      ids.push(backup.id);
    }
    const found = await use().backups({ host: "web8" });
    expect(found.map(({ id }) => id)).toEqual(ids.slice(0, 1));
    expect(await use().countBackups({ host: "web9", server: "by-host" })).toBe(1);
    expect(await use().countBackups({ server: "by-host" })).toBe(3);
  });

  describe("last runs", () => {
    test("are the newest of each job on each host that is known", async () => {
      const run = async (host: string, job: RunRecord["job"], minute: number, change = {}) => {
        const one = runRecord({ host, job, started_at: at(minute), outcome: "OK", ...change });
        await use().insertRun(one);
        return one;
      };
      for (const host of ["runs1", "runs2"]) await use().hosts.put(hostRecord({ host }));
      await run("runs1", "backup", 1);
      const backup = await run("runs1", "backup", 3, { outcome: "FAILED", error: "no route" });
      await run("runs1", "backup", 4, { outcome: "SKIPPED" });
      const cleanup = await run("runs1", "cleanup", 2);
      const other = await run("runs2", "backup", 5, { outcome: "RUNNING" });
      await run("runs3", "backup", 6);
      const found = (await use().hosts.lastRuns()).filter(({ host }) => host.startsWith("runs"));
      expect(found).toEqual([backup, cleanup, other]);
      for (const host of ["runs1", "runs2"]) await use().hosts.forget(host, at(59));
    });
  });
}
