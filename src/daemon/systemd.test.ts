import { describe, expect, test } from "bun:test";
import { NotifySocket } from "../../test/lab/servers/notify-socket.ts";
import { notifierAt, watchdogPauseMs } from "./systemd.ts";

describe("notifications", () => {
  test.each(["path", "abstract"] as const)(
    "reach a socket by its %s name, each as one datagram",
    async (kind) => {
      await using socket = new NotifySocket(kind);
      const notify = await notifierAt(socket.address);
      notify({ READY: 1, STATUS: "idle; next: backup at 2026-11-24T01:00:00Z" });
      notify({ WATCHDOG: 1 });
      expect(socket.received()).toEqual([
        "READY=1\nSTATUS=idle; next: backup at 2026-11-24T01:00:00Z",
        "WATCHDOG=1",
      ]);
    },
  );

  test("a reload carries the time of the clock with which systemd compares it", async () => {
    await using socket = new NotifySocket();
    const notify = await notifierAt(socket.address);
    const uptimeUsec = Math.floor(Number((await Bun.file("/proc/uptime").text()).split(" ")[0]) * 1e6);
    notify({ RELOADING: 1 });
    const [, usec] = /^RELOADING=1\nMONOTONIC_USEC=(\d+)$/.exec(socket.received()[0] ?? "") ?? [];
    // The uptime in /proc includes suspended time and is rounded down.
    expect(Number(usec)).toBeGreaterThan(0);
    expect(Math.abs(Number(usec) - uptimeUsec)).toBeLessThan(3_600_000_000);
  });

  test("a line break in a value does not start a new line", async () => {
    await using socket = new NotifySocket();
    (await notifierAt(socket.address))({ STATUS: "one\nREADY=1\n two" });
    expect(socket.received()).toEqual(["STATUS=one; READY=1; two"]);
  });

  test("a receiver that does not read holds nobody; once it reads it gets every change and the last status", async () => {
    await using socket = new NotifySocket();
    const notify = await notifierAt(socket.address);
    // More than the receiver's queue takes (net.unix.max_dgram_qlen).
    for (let index = 1; index <= 600; index++) notify({ STATUS: `status ${index}` });
    notify({ RELOADING: 1 });
    notify({ READY: 1, STATUS: "reloaded" });
    for (let index = 1; index <= 20; index++) notify({ WATCHDOG: 1 });
    notify({ STATUS: "last" });
    notify({ STOPPING: 1 });
    await socket.hears("STOPPING=1");
    const received = socket.received();
    expect(received.slice(-5)).toEqual([
      expect.stringMatching(/^RELOADING=1\nMONOTONIC_USEC=\d+$/),
      "READY=1\nSTATUS=reloaded",
      "WATCHDOG=1",
      "STATUS=last",
      "STOPPING=1",
    ]);
    // A status that nobody took is not kept beside its successor.
    expect(received.length).toBeLessThan(600);
  });

  test("nothing is sent without an address", async () => {
    (await notifierAt(undefined))({ READY: 1 });
    (await notifierAt(""))({ READY: 1 });
    (await notifierAt("/nowhere/notify"))({ READY: 1 });
  });
});

test("the watchdog is fed twice per interval, and only by the process that systemd names", () => {
  expect(watchdogPauseMs({ WATCHDOG_USEC: "60000000", WATCHDOG_PID: "7" }, 7)).toBe(30_000);
  expect(watchdogPauseMs({ WATCHDOG_USEC: "60000000" }, 7)).toBe(30_000);
  expect(watchdogPauseMs({ WATCHDOG_USEC: "60000000", WATCHDOG_PID: "8" }, 7)).toBeUndefined();
  expect(watchdogPauseMs({}, 7)).toBeUndefined();
  expect(watchdogPauseMs({ WATCHDOG_USEC: "0" }, 7)).toBeUndefined();
});
