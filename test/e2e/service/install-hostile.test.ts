import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { InstallStep } from "../../../src/install/steps.ts";
import { useExecutable } from "../../lab/machine/executable.ts";
import { boxStorage, CONFIG, startUnpackedBox, UNPACKED } from "../../lab/machine/installed-box.ts";
import type { SystemdBox } from "../../lab/machine/systemd-box.ts";
import { noBoxReason } from "../../lab/machine/systemd-box.ts";

/*
 * Root installs into places that others can change: if the service's user has been taken over by an attacker, nothing it
 * puts there may gain it access to root's files.
 */

const STATE = "/var/lib/pg321";
const DROP_IN = "/etc/systemd/system/pg321.service.d/test.conf";

const executable = useExecutable();
let box: SystemdBox;

const install = async (): Promise<{ steps: InstallStep[]; next: string[] }> =>
  JSON.parse(await box.ok(UNPACKED, "install", "--json"));
const asService = (line: string) =>
  box.ok("setpriv", "--reuid=pg321", "--regid=pg321", "--init-groups", "bash", "-ec", line);
const rights = async (path: string) => (await box.ok("stat", "-c", "%U:%G %a", path)).trimEnd();

async function installWith(path: string): Promise<InstallStep | undefined> {
  const mode = '[[server]]\nname = "main"\n[encryption]\nmode = "none"';
  await box.write(CONFIG, `${mode}\n${boxStorage("disk", path)}\n`);
  return (await install()).steps.find(({ what }) => what === path);
}

describe.skipIf(noBoxReason !== undefined)(
  `in a systemd of its own${noBoxReason ? `: ${noBoxReason}` : ""}`,
  () => {
    beforeAll(async () => {
      box = await startUnpackedBox(await executable.present());
      await install();
    }, 120_000);
    afterAll(() => box?.[Symbol.asyncDispose]());

    test("without a config --start says how to get one", async () => {
      await box.ok("mv", CONFIG, "/root/config.toml");
      const { exitCode, stderr } = await box.run(UNPACKED, "install", "--start", "--dry-run");
      await box.ok("mv", "/root/config.toml", CONFIG);
      expect(exitCode).toBe(2);
      expect(stderr).toMatch(/no such config file\nhint: run install without --start first: /);
      expect(stderr).not.toContain("--config");
    });

    test("a symlink of the service does not make it the owner of an empty directory of root's", async () => {
      await box.ok("mkdir", "/srv/roots-own");
      await asService(`ln -s /srv/roots-own ${STATE}/disk`);
      expect(await installWith(`${STATE}/disk`)).toMatchObject({ state: "attention" });
      expect(await rights("/srv/roots-own")).toBe("root:root 755");
    });

    test("a symlink of the service creates nothing in a directory of root's", async () => {
      await box.ok("mkdir", "/srv/roots-other");
      await asService(`ln -s /srv/roots-other ${STATE}/way`);
      expect(await installWith(`${STATE}/way/a/b`)).toMatchObject({ state: "attention" });
      expect(await box.ok("ls", "-A", "/srv/roots-other")).toBe("");
    });

    test("below a directory of the service, the service's user creates the directory", async () => {
      expect(await installWith(`${STATE}/far/below`)).toMatchObject({ state: "done" });
      expect(await rights(`${STATE}/far/below`)).toBe("pg321:pg321 700");
      expect(await rights(`${STATE}/far`)).toMatch(/^pg321:pg321 /);
    });

    test("nothing is created in a directory that another user can change", async () => {
      await box.sh("install -d -o nobody /srv/of-nobody; install -d /srv/of-nobody/empty");
      expect(await installWith("/srv/of-nobody/backups")).toMatchObject({
        state: "attention",
        detail: expect.stringContaining("others than root can change /srv/of-nobody"),
      });
      expect(await installWith("/srv/of-nobody/empty")).toMatchObject({ state: "attention" });
      expect(await box.ok("ls", "/srv/of-nobody")).toBe("empty\n");
      expect(await rights("/srv/of-nobody/empty")).toBe("root:root 755");
    });

    test("a path that is not a directory is reported, and the rest is done", async () => {
      await box.sh("touch /srv/file");
      for (const path of ["/srv/file", "/srv/file/below"])
        expect(await installWith(path)).toMatchObject({ state: "attention" });
    });

    test("a catalog that is not a file is refused at once", async () => {
      await asService(`mkfifo ${STATE}/catalog.db`);
      expect(await box.run("timeout", "20", UNPACKED, "install")).toMatchObject({
        exitCode: 13,
        stderr: expect.stringContaining(`${STATE}/catalog.db: not a regular file`),
      });
      await asService(`rm ${STATE}/catalog.db`);
    });

    test("root does not run a program of the service to ask for its version", async () => {
      await installWith(`${STATE}/far/below`);
      await asService(`cp /usr/bin/sleep ${STATE}/program`);
      const own = [
        "[Service]",
        "Type=exec",
        "WatchdogSec=0",
        "ExecStart=",
        `ExecStart=${STATE}/program 1000`,
      ];
      await box.write(DROP_IN, `${own.join("\n")}\n`);
      await box.sh("systemctl daemon-reload; systemctl start pg321");
      const { next } = await install();
      await box.sh(`systemctl stop pg321; rm ${DROP_IN}; systemctl daemon-reload`);
      expect(next).toEqual([expect.stringContaining("it runs another program")]);
      expect(next.join()).not.toContain("coreutils");
    });
  },
);
