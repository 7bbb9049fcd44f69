import { describe, expect, test } from "bun:test";
import { fateOf, processIdentity } from "../../../src/base/process/identity.ts";
import { leaseName } from "../../../src/catalog/database-lease.ts";
import { statusReport } from "../../../src/status/status.ts";
import { app, BOTH, backUp, hoursAgo, see, twoStorages } from "../../lab/backed-up.ts";
import type { EndpointLab } from "../../lab/endpoint.ts";

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

  test("good, when the newest is in time and everywhere", async () => {
    expect(await after((lab) => backUp(lab, 1, BOTH))).toBe("good");
    expect(
      await after(async (lab) => {
        await backUp(lab, 30, {}, { status: "FAILED" });
        await backUp(lab, 1, BOTH);
      }),
    ).toBe("good");
  });

  test("partial, when a storage lacks the newest one", async () => {
    expect(
      await after((lab) => backUp(lab, 1, { disk: "CONFIRMED", usb: "FAILED" }, { status: "PARTIAL" })),
    ).toBe("partial");
    expect(await after((lab) => backUp(lab, 1, { disk: "CONFIRMED" }))).toBe("partial");
    expect(await after((lab) => backUp(lab, 1, BOTH, { status: "PARTIAL" }))).toBe("partial");
  });

  test("failing, when a newer attempt is not good, while the newest good one is in time", async () => {
    for (const status of ["FAILED", "INTERRUPTED"] as const)
      expect(
        await after(async (lab) => {
          await backUp(lab, 25, BOTH);
          await backUp(lab, 1, {}, { status });
        }),
      ).toBe("failing");
    // Its copies were lost afterwards.
    expect(
      await after(async (lab) => {
        await backUp(lab, 25, BOTH);
        await backUp(lab, 1, { disk: "MISSING", usb: "MISSING" });
      }),
    ).toBe("failing");
  });

  test("failing, when the run that makes a backup has died, and nothing while it lives", async () => {
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

  test("what it is, whatever was made under a clock that was ahead; stale where all was", async () => {
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
    // Two clocks may honestly differ by some minutes.
    expect(await after((lab) => backUp(lab, -0.5, BOTH))).toBe("good");
  });

  test("stale, when the newest good one is older than two intervals of its schedule, whatever failed since", async () => {
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

  test("gone, when its server or the config has it no more, as long as it has copies", async () => {
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
