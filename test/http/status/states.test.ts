import { describe, expect, test } from "bun:test";
import { fateOf, processIdentity } from "../../../src/base/process/identity.ts";
import { leaseName } from "../../../src/catalog/database-lease.ts";
import type { AlertRecord } from "../../../src/catalog/records.ts";
import { listBackups } from "../../../src/status/list-backups.ts";
import { statusReport } from "../../../src/status/status.ts";
import { statusText } from "../../../src/status/text.ts";
import { app, BOTH, backUp, hoursAgo, see, twoStorages } from "../../lab/backed-up.ts";
import type { EndpointLab } from "../../lab/endpoint.ts";
import { alertRecord } from "../../suites/catalog/records.ts";

describe("a database is", () => {
  const after = async (work: (lab: EndpointLab) => Promise<unknown>, more = "") => {
    await using lab = await twoStorages(more);
    await see(lab, "app");
    await work(lab);
    return (await app(lab)).state;
  };

  test("never, until there is a good backup", async () => {
    expect(await after(async () => {})).toBe("never");
    expect(await after((lab) => backUp(lab, 1, {}, { status: "FAILED" }))).toBe("never");
    expect(await after((lab) => backUp(lab, 1, { disk: "MISSING", usb: "DAMAGED" }))).toBe("never");
  });

  test("good, if the newest backup is recent and in every storage", async () => {
    expect(await after((lab) => backUp(lab, 1, BOTH))).toBe("good");
    expect(
      await after(async (lab) => {
        await backUp(lab, 30, {}, { status: "FAILED" });
        await backUp(lab, 1, BOTH);
      }),
    ).toBe("good");
  });

  test("partial, if a storage lacks the newest backup", async () => {
    expect(
      await after((lab) => backUp(lab, 1, { disk: "CONFIRMED", usb: "FAILED" }, { status: "PARTIAL" })),
    ).toBe("partial");
    expect(await after((lab) => backUp(lab, 1, { disk: "CONFIRMED" }))).toBe("partial");
    expect(await after((lab) => backUp(lab, 1, BOTH, { status: "PARTIAL" }))).toBe("partial");
  });

  test("failing, if a newer attempt is not good, while the newest good backup is recent", async () => {
    for (const status of ["FAILED", "INTERRUPTED"] as const)
      expect(
        await after(async (lab) => {
          await backUp(lab, 25, BOTH);
          await backUp(lab, 1, {}, { status });
        }),
      ).toBe("failing");
    // Its copies were lost later.
    expect(
      await after(async (lab) => {
        await backUp(lab, 25, BOTH);
        await backUp(lab, 1, { disk: "MISSING", usb: "MISSING" });
      }),
    ).toBe("failing");
  });

  test("failing, if its server could not be asked since, until it is backed up again", async () => {
    const failure = {
      key: "backup main",
      server: "main",
      database: null,
      last_at: hoursAgo(1),
      resolved_at: null,
    };
    const withAlert = async (lab: EndpointLab, change: Partial<AlertRecord> = {}) => {
      await backUp(lab, 25, BOTH);
      const alert = alertRecord({ ...failure, message: "backup of main failed: no answer", ...change });
      await lab.context.catalog.changeAlert(alert.key, () => ({ alert, deliveries: [] }));
    };
    expect(await after(withAlert)).toBe("failing");
    expect(await after((lab) => withAlert(lab, { resolved_at: hoursAgo(0.5) }))).toBe("good");
    expect(await after((lab) => withAlert(lab, { key: "backup other", server: "other" }))).toBe("good");
    await using lab = await twoStorages();
    await see(lab, "app");
    await withAlert(lab);
    const found = await app(lab);
    expect(found.server_failure).toEqual({ at: hoursAgo(1), error: "backup of main failed: no answer" });
    const text = statusText(await statusReport(lab.context));
    expect(text).toContain(
      `failed at ${hoursAgo(1).slice(0, 19).replace("T", " ")}: backup of main failed: no answer`,
    );
    await backUp(lab, 0.5, BOTH);
    expect(await app(lab)).toMatchObject({ state: "good", server_failure: null });
  });

  test("good still, if a person ended a newer attempt by hand", async () => {
    const byHand = { status: "FAILED", error: "ended by SIGINT" } as const;
    expect(
      await after(async (lab) => {
        await backUp(lab, 25, BOTH);
        await backUp(lab, 1, { disk: "FAILED" }, byHand);
      }),
    ).toBe("good");
    expect(await after((lab) => backUp(lab, 1, { disk: "FAILED" }, byHand))).toBe("never");
  });

  test("failing, if the run of a backup has died, but not while it is alive", async () => {
    const withRunning = async (lab: EndpointLab) => {
      await backUp(lab, 25, BOTH);
      await backUp(lab, 1, { disk: "INTENDED" }, { status: "RUNNING", finished_at: null });
    };
    expect(await after(withRunning)).toBe("failing");
    const maker = Bun.spawn(["sleep", "60"]);
    const pid = maker.pid;
    expect(
      await after(async (lab) => {
        await withRunning(lab);
        const { host, catalog } = lab.context;
        await catalog.acquireLease(
          {
            name: leaseName("main", "app"),
            run_id: crypto.randomUUID(),
            host,
            ...processIdentity(pid),
            acquired_at: hoursAgo(1),
            expires_at: hoursAgo(1),
          },
          hoursAgo(0),
          fateOf,
        );
      }).finally(() => maker.kill()),
    ).toBe("good");
  });

  test("good, if its backup ends between two reads of one report, and the backup is listed as it ended", async () => {
    await using lab = await twoStorages();
    await see(lab, "app");
    await backUp(lab, 25, BOTH);
    const { context } = lab;
    const { catalog } = context;
    const read = catalog.backups.bind(catalog);
    for (const report of ["status", "list"]) {
      const copies = { disk: "INTENDED", usb: "INTENDED" } as const;
      const { id } = await backUp(lab, 1, copies, { status: "RUNNING", finished_at: null });
      catalog.backups = async (filter) => {
        const found = await read(filter);
        if (!found.some((one) => one.id === id && one.status === "RUNNING")) return found;
        for (const storage of ["disk", "usb"]) await catalog.updateCopy(id, storage, { state: "CONFIRMED" });
        await catalog.updateBackup(id, { status: "VERIFIED", finished_at: hoursAgo(0) });
        return found;
      };
      if (report === "status") expect((await app(lab)).state).toBe("good");
      else
        expect((await listBackups(context, {})).find(({ backup }) => backup.id === id)).toMatchObject({
          backup: { status: "VERIFIED" },
          copies: [{ state: "CONFIRMED" }, { state: "CONFIRMED" }],
        });
      expect(await catalog.backup(id)).toMatchObject({ status: "VERIFIED" });
    }
  });

  test("not changed by backups dated ahead of the clock, but stale if there are no others", async () => {
    const ahead = (lab: EndpointLab) => backUp(lab, -2, BOTH);
    expect(
      await after(async (lab) => {
        await ahead(lab);
        await backUp(lab, 49, BOTH);
      }),
    ).toBe("stale");
    expect(
      await after(async (lab) => {
        await ahead(lab);
        await backUp(lab, 25, BOTH);
        await backUp(lab, 1, {}, { status: "FAILED" });
      }),
    ).toBe("failing");
    expect(
      await after(async (lab) => {
        await backUp(lab, 1, BOTH);
        await backUp(lab, -2, {}, { status: "FAILED" });
      }),
    ).toBe("good");
    expect(await after(ahead)).toBe("stale");
    // Two correct clocks may differ by some minutes.
    expect(await after((lab) => backUp(lab, -0.5, BOTH))).toBe("good");
  });

  test("stale, if the newest good backup is older than two intervals, whatever failed since", async () => {
    expect(await after((lab) => backUp(lab, 48, BOTH))).toBe("good");
    expect(await after((lab) => backUp(lab, 49, BOTH))).toBe("stale");
    expect(
      await after(async (lab) => {
        await backUp(lab, 49, BOTH);
        await backUp(lab, 1, {}, { status: "FAILED" });
      }),
    ).toBe("stale");
    const hourly = '[schedule]\nbackup = "@hourly"';
    expect(await after((lab) => backUp(lab, 3, BOTH), hourly)).toBe("stale");
    expect(await after((lab) => backUp(lab, 2, BOTH), hourly)).toBe("good");
    const off = '[schedule]\nbackup = "off"';
    expect(await after((lab) => backUp(lab, 47, BOTH), off)).toBe("good");
    expect(await after((lab) => backUp(lab, 49, BOTH), off)).toBe("stale");
  });

  test("gone, if it is no longer on its server or in the config, as long as it has copies", async () => {
    expect(
      await after(async (lab) => {
        await backUp(lab, 1, BOTH);
        await see(lab, "other");
      }),
    ).toBe("gone");
    await using lab = await twoStorages();
    await lab.context.catalog.overview.seeDatabases("old", ["app"], hoursAgo(5));
    expect((await statusReport(lab.context, lab.live)).databases).toEqual([]);
    await backUp(lab, 9, BOTH, { server: "old" });
    expect(await app(lab)).toMatchObject({
      state: "gone",
      gone_at: hoursAgo(5),
      interval_ms: null,
      next_backup_at: null,
      copies: [
        { storage: "disk", copies: 1 },
        { storage: "usb", copies: 1 },
      ],
    });
  });
});
