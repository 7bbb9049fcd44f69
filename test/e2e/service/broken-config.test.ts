import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { useExecutable } from "../../lab/machine/executable.ts";
import { boxStorage, CONFIG, startUnpackedBox, UNPACKED } from "../../lab/machine/installed-box.ts";
import type { SystemdBox } from "../../lab/machine/systemd-box.ts";
import { noBoxReason } from "../../lab/machine/systemd-box.ts";

const GOOD = `[[server]]\nname = "main"\n[encryption]\nmode = "none"\n${boxStorage("disk", "/srv/disk")}\n`;

const executable = useExecutable();
let box: SystemdBox;

async function expectRefused(...words: string[]): Promise<void> {
  const { exitCode, stdout, stderr } = await box.run(UNPACKED, "install", ...words);
  expect({ words, exitCode }).toEqual({ words, exitCode: 2 });
  expect(stdout).toContain("do not restart the service, because it would not start");
  expect(stdout).not.toContain("nothing left to do");
  expect(stderr).toContain("pathh");
}

describe.skipIf(noBoxReason !== undefined)(
  `in a systemd of its own${noBoxReason ? `: ${noBoxReason}` : ""}`,
  () => {
    beforeAll(async () => {
      box = await startUnpackedBox(await executable.present());
      await box.ok(UNPACKED, "install");
    }, 120_000);
    afterAll(() => box?.[Symbol.asyncDispose]());

    test("a mistake in a line marked FILL IN says so, and names the reference of this host", async () => {
      const { exitCode, stderr } = await box.run(UNPACKED, "install", "--start");
      expect(exitCode).toBe(2);
      expect(stderr).toMatch(
        /storage\[0\]\.path: found ""[^\n]*; this line is marked FILL IN and is still empty\n/,
      );
      expect(stderr).toContain("hint: /etc/pg321/config.example.toml explains every setting\n");
    });

    test("a complete config with a mistake: exit 2, the mistake, and a warning not to restart", async () => {
      await box.write(CONFIG, GOOD.replace("path =", "pathh ="));
      for (const words of [[], ["--dry-run"], ["--json"]]) await expectRefused(...words);
    });

    test("the same while the service runs, even if a marked line is empty", async () => {
      await box.write(CONFIG, GOOD);
      await box.ok(UNPACKED, "install", "--start");
      const marked = 'path = "" # FILL IN\npathh = "/srv/disk"';
      await box.write(CONFIG, GOOD.replace(/^path = .*$/m, marked));
      await expectRefused();
    });

    test("doctor advises install for a missing directory, which must not belong to root", async () => {
      await box.write(CONFIG, GOOD);
      await box.ok("rm", "-r", "/srv/disk");
      const { stdout } = await box.run("/usr/local/bin/pg321", "doctor", "--json");
      const { findings } = JSON.parse(stdout);
      expect(findings.find(({ subject }: { subject: string }) => subject === "disk")).toMatchObject({
        verdict: "failed",
        message: "directory /srv/disk does not exist",
        hint: "mount its disk, or create it for the service: sudo pg321 install",
      });
    });
  },
);
