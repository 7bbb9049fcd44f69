import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { releaseOfCommit } from "../../../scripts/release/commit.ts";
import { packagedFiles } from "../../../scripts/release/contents.ts";
import { buildDeb } from "../../../scripts/release/deb.ts";
import { useExecutable } from "../../lab/machine/executable.ts";
import {
  boxStorage,
  CONFIG,
  connectIn,
  printed,
  serviceConfig,
  startPostgresIn,
  startUnpackedBox,
  UNPACKED,
} from "../../lab/machine/installed-box.ts";
import type { SystemdBox } from "../../lab/machine/systemd-box.ts";
import { noBoxReason } from "../../lab/machine/systemd-box.ts";

const NEWER = "9.9.9";
const DISK = "/srv/backups";
const UNIT = "/usr/lib/systemd/system/pg321.service";
/** Everything that must outlive the package. */
const KEPT = `/etc/pg321 /var/lib/pg321 ${DISK}`;

const executable = useExecutable();
let directory: string;
let box: SystemdBox;

/** A package of the executable, not compressed, because it is installed often. */
async function buildPackage(name: string, path: string, version?: string): Promise<string> {
  const release = await releaseOfCommit();
  const out = join(directory, name);
  await buildDeb({
    release: version === undefined ? release : { ...release, version },
    architecture: "amd64",
    files: await packagedFiles(path, release),
    out,
    level: 0,
  });
  return out;
}

const dpkg = (name: string) => box.run("dpkg", "--install", `/opt/packages/${name}`);
const pid = async () =>
  Number(await box.ok("systemctl", "show", "pg321.service", "--property=MainPID", "--value"));
const digests = (where: string) =>
  box.sh(`find ${where} -type f ! -name 'catalog.db*' -exec sha256sum {} + | sort -k 2`);

describe.skipIf(noBoxReason !== undefined)(
  `the Debian package, in a systemd of its own${noBoxReason ? `: ${noBoxReason}` : ""}`,
  () => {
    beforeAll(async () => {
      directory = await mkdtemp(join(tmpdir(), "pg321-package-"));
      const [present, newer] = [await executable.present(), await executable.as(NEWER)];
      const built = [
        await buildPackage("present.deb", present),
        await buildPackage("newer.deb", newer, NEWER),
      ];
      box = await startUnpackedBox(present);
      // A container of this test may forbid packages to start services; a host does not.
      await box.sh("mkdir /opt/packages; rm -f /usr/sbin/policy-rc.d");
      for (const path of built)
        await box.write(`/opt/packages/${path.split("/").at(-1)}`, await Bun.file(path).bytes());
      await startPostgresIn(box);
      await using sql = await connectIn(box, "postgres");
      await sql.unsafe("CREATE ROLE pg321 LOGIN SUPERUSER");
      await sql.unsafe("CREATE DATABASE app");
    }, 240_000);
    afterAll(async () => {
      await box?.[Symbol.asyncDispose]();
      if (directory !== undefined) await rm(directory, { recursive: true });
    });

    test("it makes the user, the directories and a first config, as install does, and starts nothing", async () => {
      const { exitCode, stdout, stderr } = await dpkg("present.deb");
      expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
      expect(stdout).toMatch(/pg321 install --generate-keys[\s\S]*FILL IN[\s\S]*pg321 install --start/);
      const paths = ["/etc/pg321/credentials", "/var/lib/pg321", CONFIG, "/usr/bin/pg321", UNIT];
      expect((await box.ok("stat", "-c", "%U:%G %a", ...paths)).trimEnd().split("\n")).toEqual([
        "root:root 700",
        "pg321:pg321 700",
        "root:pg321 640",
        "root:root 755",
        "root:root 644",
      ]);
      expect(await box.sh("find /usr/local/bin /etc/systemd/system -name 'pg321*'")).toBe("");
      expect(await box.run("systemd-analyze", "verify", "pg321.service")).toEqual({
        exitCode: 0,
        stdout: "",
        stderr: "",
      });
      expect(await pid()).toBe(0);
    });

    test("install completes it, and puts no second program in front of it", async () => {
      await box.ok("pg321", "install", "--generate-keys");
      const recipient = /recipients = \["(age1[^"]+)"\]/.exec(await box.ok("cat", CONFIG))?.[1] ?? "";
      const config = serviceConfig({ recipient, databases: ["app"], storages: [boxStorage("disk", DISK)] });
      await box.sh(`cat >${CONFIG} <<'END'\n${config}\nEND`);
      const report = await printed(box, "install", "--start");
      expect(report.steps).toContainEqual(
        expect.objectContaining({ what: "/usr/bin/pg321", state: "right" }),
      );
      expect(report.steps.map(({ what }: { what: string }) => what).join()).not.toContain("/usr/local");
      expect(await box.ok("readlink", `/proc/${await pid()}/exe`)).toBe("/usr/bin/pg321\n");
      await box.ok("pg321", "backup");
      const findings = JSON.parse((await box.run("pg321", "doctor", "--json")).stdout).findings;
      expect(
        findings.filter(
          ({ area, verdict }: { area: string; verdict: string }) => area === "unit" && verdict !== "ok",
        ),
      ).toEqual([]);
      expect(await box.run(UNPACKED, "install")).toMatchObject({
        exitCode: 2,
        stderr: expect.stringContaining("a package is installed on this host"),
      });
      expect(await box.run("pg321", "uninstall")).toMatchObject({
        exitCode: 2,
        stderr: expect.stringContaining("apt-get remove pg321"),
      });
    });

    test("an upgrade keeps config, keys and backups, and restarts the service", async () => {
      const [before, first] = [await digests(KEPT), await pid()];
      expect(await dpkg("newer.deb")).toMatchObject({ exitCode: 0, stderr: "" });
      expect(await digests(KEPT)).toBe(before);
      const second = await pid();
      expect(second).not.toBe(first);
      expect(await box.ok(`/proc/${second}/exe`, "--version")).toBe(`pg321 ${NEWER} (0ld)\n`);
    });

    test("an upgrade leaves the service running if it could not start again, and says why", async () => {
      const running = await pid();
      await box.sh(`cp ${CONFIG} /root/good.toml; echo 'no_such_key = 1' >>${CONFIG}`);
      const { exitCode, stderr } = await dpkg("present.deb");
      expect(exitCode).toBe(0);
      expect(stderr).toMatch(/no_such_key[\s\S]*the service was not restarted/);
      expect(await pid()).toBe(running);
      await box.sh(`cat /root/good.toml >${CONFIG}; systemctl restart pg321`);
      expect(await pid()).not.toBe(running);
    });

    test("a removal stops the service and keeps everything else; the next installation goes on", async () => {
      const before = await digests(KEPT);
      await box.ok("dpkg", "--remove", "pg321");
      expect(await pid()).toBe(0);
      expect(await digests(KEPT)).toBe(before);
      expect(await dpkg("present.deb")).toMatchObject({ exitCode: 0, stderr: "" });
      expect(await pid()).not.toBe(0);
      expect(await digests(KEPT)).toBe(before);
    });

    test("a purge removes no backup, no key and no catalog", async () => {
      const toKeep = `${KEPT} ! -name config.example.toml ! -name config.schema.json`;
      const before = await digests(toKeep);
      const { exitCode, stderr } = await box.run("dpkg", "--purge", "pg321");
      expect(exitCode).toBe(0);
      expect(stderr).toMatch(/kept \/etc\/pg321[\s\S]*kept \/var\/lib\/pg321[\s\S]*every backup stays/);
      expect(await digests(toKeep)).toBe(before);
      expect(before).toContain("identity.txt");
      expect(await box.sh("find /etc/systemd/system -name 'pg321*'")).toBe("");
      const [backup] = JSON.parse(await box.ok(UNPACKED, "list", "--json")).backups;
      await box.ok(UNPACKED, "restore", backup.id, "--output", "/root/app.dump");
      expect(await box.ok("head", "-c", "5", "/root/app.dump")).toBe("PGDMP");
    });

    test("beside an installation without package it says how to change over", async () => {
      await box.ok(UNPACKED, "install", "--start");
      const { exitCode, stdout } = await dpkg("present.deb");
      expect(exitCode).toBe(0);
      const command = "sudo /usr/local/bin/pg321 uninstall && sudo /usr/bin/pg321 install --start";
      expect(stdout).toContain(command);
      expect(await box.ok("readlink", `/proc/${await pid()}/exe`)).toBe("/usr/local/bin/pg321\n");
      await box.sh(command.replaceAll("sudo ", ""));
      expect(await box.ok("readlink", `/proc/${await pid()}/exe`)).toBe("/usr/bin/pg321\n");
    });
  },
);
