import { expect, test } from "bun:test";
import type { Catalog } from "../../../src/catalog/catalog.ts";
import type { HostExport } from "../../../src/catalog/host-exports.ts";
import type { BackupRecord } from "../../../src/catalog/records.ts";
import { hostRecord } from "./hosts.ts";
import { backupRecord } from "./records.ts";

/** What each host of a shared catalog knows about itself; a call without a host is that of the only one. */
export function ownRecords(use: () => Catalog, reopen: () => Promise<void>): void {
  test("each host has its own trust in its clock, and before that the oldest that is known", async () => {
    const trust = (day: number) => ({
      trusted_at: `2026-01-0${day}T00:00:00.000Z`,
      accepted_until: day === 2 ? "2026-02-01T00:00:00.000Z" : null,
    });
    const known = () => Promise.all([undefined, "a", "b", "c"].map((host) => use().clockRecords.trust(host)));
    expect(await known()).toEqual([undefined, undefined, undefined, undefined]);
    for (const day of [1, 2]) await use().clockRecords.setTrust(trust(day));
    // Two are of one host, as its catalog in a file had it before it was copied.
    expect(await known()).toEqual([trust(2), trust(2), trust(2), trust(2)]);
    await use().clockRecords.setTrust(trust(4), "b");
    await use().clockRecords.setTrust(trust(3), "a");
    await reopen();
    expect(await known()).toEqual([trust(3), trust(3), trust(4), trust(3)]);
    await use().clockRecords.setTrust(trust(5), "a");
    expect(await known()).toEqual([trust(4), trust(5), trust(4), trust(4)]);
    for (const host of ["a", "b"]) {
      await use().hosts.put(hostRecord({ host, stopped_at: trust(5).trusted_at }));
      await use().hosts.forget(host, trust(5).trusted_at);
    }
    expect(await known()).toEqual([undefined, undefined, undefined, undefined]);
  });

  test("each host has its own last check of a storage; without a host it is the latest of them", async () => {
    const at = (day: number) => `2026-01-0${day}T00:00:00.000Z`;
    const good = (day: number) => ({
      ...{ checked_at: at(day), check_error: null },
      ...{ free_bytes: 5, total_bytes: 9 },
    });
    const nothing = { checked_at: null, check_error: null, free_bytes: null, total_bytes: null };
    const bad = (day: number, check_error: string) => ({ ...nothing, checked_at: at(day), check_error });
    const see = (look: ReturnType<typeof bad | typeof good>, host?: string) =>
      use().overview.seeStorage("seen", look, host);
    const seen = async (host?: string) =>
      (await use().overview.storages(host)).find((storage) => storage.name === "seen");
    // As it was before hosts had their own, or as the only host of a file saw it.
    await see(bad(1, "old"));
    const before = { name: "seen", errors: 1, last_error: "old", last_error_at: at(1) };
    expect(await seen("a")).toEqual({ ...bad(1, "old"), ...before });
    await see(good(4), "a");
    await see(bad(3, "away"), "b");
    await reopen();
    const failed = { ...before, errors: 2, last_error: "away", last_error_at: at(3) };
    expect(await seen("a")).toEqual({ ...good(4), ...before });
    expect(await seen("b")).toEqual({ ...bad(3, "away"), ...failed });
    expect(await seen()).toEqual({ ...good(4), ...failed });
    // A host that did not check it knows nothing about it.
    expect(await seen("c")).toEqual({ ...nothing, ...before });
    await use().identities.rename([{ from: "seen", to: "seen later" }]);
    await use().identities.rename([{ from: "seen later", to: "seen" }]);
    expect(await seen("b")).toEqual({ ...bad(3, "away"), ...failed });
    await use().hosts.put(hostRecord({ host: "b", stopped_at: at(5) }));
    await use().hosts.forget("b", at(5));
    expect(await seen("b")).toEqual({ ...nothing, ...before });
  });

  test("the last export of the host's files is remembered", async () => {
    expect(await use().hostExports.last()).toBeUndefined();
    const first = { exported_at: "2026-01-01T00:00:00.000Z", fingerprint: "a".repeat(64) };
    const second = { exported_at: "2026-01-02T00:00:00.000Z", fingerprint: "b".repeat(64) };
    for (const one of [first, second]) await use().hostExports.record(one);
    await reopen();
    expect(await use().hostExports.last()).toEqual(second);
    // Whose it was is not known: it holds for each host until that has its own.
    expect(await use().hostExports.last("a")).toEqual(second);
    const [ofA, ofB] = ["3", "4"].map((day) => ({
      exported_at: `2026-01-0${day}T00:00:00.000Z`,
      fingerprint: day.repeat(64),
    })) as [HostExport, HostExport];
    await use().hostExports.record(ofB, "b");
    await use().hostExports.record(ofA, "a");
    await reopen();
    const last = () => Promise.all(["a", "b", "c"].map((host) => use().hostExports.last(host)));
    expect(await last()).toEqual([ofA, ofB, second]);
    expect(await use().hostExports.last()).toEqual(ofB);
    await use().hosts.put(hostRecord({ host: "b", stopped_at: ofB.exported_at }));
    await use().hosts.forget("b", ofB.exported_at);
    expect(await last()).toEqual([ofA, second, second]);
  });

  test("the last recovery kit is remembered", async () => {
    expect(await use().recoveryKits.last()).toBeUndefined();
    const first = { made_at: "2026-01-03T00:00:00.000Z", fingerprint: "a".repeat(64) };
    // Of a clock that was set back: it is still the one made last.
    const second = { made_at: "2026-01-02T00:00:00.000Z", fingerprint: "b".repeat(64) };
    for (const one of [first, second]) await use().recoveryKits.record(one);
    await reopen();
    expect(await use().recoveryKits.last()).toEqual(second);
    const last = () => Promise.all(["a", "b"].map((host) => use().recoveryKits.last(host)));
    expect(await last()).toEqual([second, second]);
    await use().recoveryKits.record({ ...first, fingerprint: "c".repeat(64) }, "a");
    await use().recoveryKits.record(first, "a");
    await reopen();
    expect(await last()).toEqual([first, second]);
    await use().hosts.put(hostRecord({ host: "a", stopped_at: first.made_at }));
    await use().hosts.forget("a", first.made_at);
    expect(await last()).toEqual([second, second]);
  });

  test("good encrypted backups are counted by their recipients, newest first", async () => {
    const before = await use().recoveryKits.sealedBackups();
    const made = (day: number, change: Partial<BackupRecord>) =>
      use().insertBackup(
        backupRecord({ started_at: `2030-01-0${day}T00:00:00.000Z`, status: "VERIFIED", ...change }),
      );
    await made(1, { recipients: "age1old" });
    await made(3, { recipients: "age1new age1safe", status: "PARTIAL" });
    await made(2, { recipients: "age1old" });
    await made(4, { recipients: "age1old", status: "FAILED" });
    await made(5, { recipients: null, encryption: "none" });
    const added = (await use().recoveryKits.sealedBackups()).filter(
      ({ recipients }) => !before.some((one) => one.recipients?.join() === recipients?.join()),
    );
    const at = (day: number) => `2030-01-0${day}T00:00:00.000Z`;
    expect(added).toEqual([
      { recipients: ["age1new", "age1safe"], backups: 1, first_started_at: at(3), last_started_at: at(3) },
      { recipients: ["age1old"], backups: 2, first_started_at: at(1), last_started_at: at(2) },
    ]);
  });
}
