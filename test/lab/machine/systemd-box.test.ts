import { expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { basename, dirname } from "node:path";
import { noBoxReason, SystemdBox } from "./systemd-box.ts";

test.skipIf(noBoxReason !== undefined)(
  `a box is a systemd of its own, and leaves nothing behind${noBoxReason ? `: ${noBoxReason}` : ""}`,
  async () => {
    const box = await SystemdBox.start();
    const directory = dirname(box.path(""));
    const name = basename(directory);
    const cgroups = async () => (await Bun.$`find /sys/fs/cgroup -name ${name}`.text()).trim();
    expect(await box.ok("systemctl", "is-system-running")).toBe("running\n");
    expect(await box.ok("cat", "/proc/1/comm")).toBe("systemd\n");
    await box.write("/etc/pg321-box", "only here");
    expect(existsSync("/etc/pg321-box")).toBe(false);
    await box.ok("systemd-run", "--quiet", "sleep", "600");
    expect(await cgroups()).not.toBe("");
    await box[Symbol.asyncDispose]();
    expect(await readFile("/proc/mounts", "utf8")).not.toContain(name);
    expect(existsSync(directory)).toBe(false);
    expect(await cgroups()).toBe("");
  },
);
