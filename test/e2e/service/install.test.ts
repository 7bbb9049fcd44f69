import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { basename, dirname, join } from "node:path";
import type { InstallStep } from "../../../src/install/steps.ts";
import { documentedKeys, misfits } from "../../lab/cli-docs.ts";
import { ended } from "../../lab/installation.ts";
import { useExecutable } from "../../lab/machine/executable.ts";
import { CONFIG, startUnpackedBox, UNPACKED, unpack } from "../../lab/machine/installed-box.ts";
import type { SystemdBox } from "../../lab/machine/systemd-box.ts";
import { noBoxReason } from "../../lab/machine/systemd-box.ts";

const ROOT = join(import.meta.dir, "../../..");
const UNIT = "/etc/systemd/system/pg321.service";
const PAGE = "/usr/local/share/doc/pg321/recovery.md";
const DROP_IN = `${UNIT}.d/storages.conf`;
const [EXAMPLE, SCHEMA] = ["/etc/pg321/config.example.toml", "/etc/pg321/config.schema.json"];
/** Everything that an installation may change. */
const TREE = "/etc /var/lib /usr/local /srv /home";

const executable = useExecutable();
let box: SystemdBox;
const install = async (...words: string[]) =>
  JSON.parse(await box.ok(UNPACKED, "install", "--json", ...words));
const states = (report: { steps: InstallStep[] }) =>
  Object.fromEntries(report.steps.map(({ what, state }) => [what, state]));
const listing = () => box.sh(`find ${TREE} -printf '%p %M %u %g %s %T@ %l\\n' | sort`);
const rights = async (...paths: string[]) =>
  (await box.ok("stat", "-c", "%U:%G %a", ...paths)).trimEnd().split("\n");

function config(...storages: string[]): string {
  const tables = storages.map(
    (path, index) => `[[storage]]\nname = "s${index}"\ntype = "local"\npath = ${JSON.stringify(path)}\n`,
  );
  return `[[server]]\nname = "main"\n[encryption]\nmode = "none"\n${tables.join("")}`;
}

test.skipIf(process.getuid?.() !== 0)("from source there is nothing to install", async () => {
  const words = [process.execPath, join(ROOT, "src/main.ts"), "install", "--dry-run"];
  const child = Bun.spawn(words, { stdio: ["ignore", "pipe", "pipe"] });
  expect(await ended(child)).toMatchObject({ exitCode: 2, stdout: "" });
});

describe.skipIf(noBoxReason !== undefined)(
  `in a systemd of its own${noBoxReason ? `: ${noBoxReason}` : ""}`,
  () => {
    beforeAll(async () => {
      box = await startUnpackedBox(await executable.present());
    }, 120_000);
    afterAll(() => box?.[Symbol.asyncDispose]());

    test("anybody but root is refused", async () => {
      for (const command of ["install", "uninstall"]) {
        const asNobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
        expect(await box.run(...asNobody, UNPACKED, command, "--dry-run")).toEqual({
          exitCode: 2,
          stdout: "",
          stderr: `error: ${command}: must run as root, even with --dry-run\nhint: sudo pg321 ${command}\n`,
        });
      }
    });

    test("a config other than the service's is refused", async () => {
      expect(await box.run(UNPACKED, "install", "--config", "/etc/other.toml")).toMatchObject({
        exitCode: 2,
        stderr: expect.stringContaining(`but the service reads ${CONFIG}\nhint: omit --config`),
      });
    });

    test("a dry run lists every step and changes nothing", async () => {
      const before = await listing();
      const report = await install("--dry-run");
      expect(await listing()).toBe(before);
      expect(report).toMatchObject({ dry_run: true, version: expect.stringMatching(/^pg321 \d/) });
      expect(states(report)).toEqual({
        "user pg321": "planned",
        "/etc/pg321": "planned",
        "/etc/pg321/credentials": "planned",
        [CONFIG]: "planned",
        ...{ [EXAMPLE]: "planned", [SCHEMA]: "planned", [PAGE]: "planned" },
        "/var/lib/pg321": "planned",
        "/usr/local/bin/pg321": "planned",
        [UNIT]: "planned",
        [DROP_IN]: "attention",
        systemd: "planned",
      });
      expect((await box.run("id", "pg321")).exitCode).toBe(1);
    });

    test("a fresh host gets user, directories, config, executable and unit, with tight modes", async () => {
      const report = await install();
      expect(Object.values(states(report)).filter((state) => state === "done")).toHaveLength(11);
      expect(await box.sh("getent passwd pg321 | cut -d: -f6-")).toBe("/var/lib/pg321:/usr/sbin/nologin\n");
      const paths = ["/etc/pg321", "/etc/pg321/credentials", CONFIG, "/var/lib/pg321"];
      expect(await rights(...paths, "/usr/local/bin/pg321", dirname(dirname(PAGE)), PAGE, UNIT)).toEqual([
        "root:root 755",
        "root:root 700",
        "root:pg321 640",
        "pg321:pg321 700",
        "root:root 755",
        "root:root 755",
        "root:root 644",
        "root:root 644",
      ]);
      expect(await box.ok("cmp", UNPACKED, "/usr/local/bin/pg321")).toBe("");
      for (const [path, source] of [
        [CONFIG, "src/install/config.toml"],
        ...[EXAMPLE, SCHEMA].map((path) => [path, basename(path)] as const),
        [PAGE, "docs/recovery.md"],
      ] as const)
        expect(await Bun.file(box.path(path)).text()).toBe(await Bun.file(join(ROOT, source)).text());
      expect(report.next).toHaveLength(4);
      expect(report.next.join()).toMatch(
        /CREATE ROLE pg321[\s\S]*--generate-keys[\s\S]*FILL IN[\s\S]*pg321 install --start/,
      );
    });

    test("the service is not started while its config has mistakes, and they are all named", async () => {
      const before = await listing();
      expect(await box.run(UNPACKED, "install", "--start")).toMatchObject({
        exitCode: 2,
        stderr: expect.stringMatching(/storage\[0\]\.path: found ""[\s\S]*encryption\.recipients: /),
      });
      expect(await listing()).toBe(before);
    });

    test("systemd accepts the unit without a warning, and it is hardened", async () => {
      expect(await box.run("systemd-analyze", "verify", "pg321.service")).toEqual({
        exitCode: 0,
        stdout: "",
        stderr: "",
      });
      const exposure = await box.ok("systemd-analyze", "security", "--offline=true", UNIT);
      const level = Number(/exposure level for pg321.service: ([\d.]+)/.exec(exposure)?.[1]);
      expect(level).toBeGreaterThan(0);
      expect(level).toBeLessThanOrEqual(1.5);
    });

    test("a second run finds everything right and changes nothing", async () => {
      const before = await listing();
      const report = await install();
      expect(new Set(Object.values(states(report)))).toEqual(new Set(["right", "kept", "attention"]));
      expect(misfits(report, documentedKeys("JSON of install"))).toEqual([]);
      expect(states(report)).toMatchObject({ [CONFIG]: "kept", [DROP_IN]: "attention" });
      expect(await listing()).toBe(before);
    });

    test("it can run from the path that it installs to", async () => {
      const before = await listing();
      await box.ok("/usr/local/bin/pg321", "install");
      expect(await listing()).toBe(before);
    });

    test("with a config the storages are created and made writable; directories in use keep their owner", async () => {
      const own = config(
        "/srv/new/backups",
        "/srv/empty",
        "/srv/full",
        '/srv/odd 100% "q"\\',
        "/home/x/backups",
      );
      await box.write(CONFIG, own);
      await box.sh("mkdir -p /srv/empty /srv/full; touch /srv/full/file");
      const report = await install();
      const kept = states(report);
      expect(kept).toMatchObject({
        [CONFIG]: "kept",
        "/srv/new/backups": "done",
        "/srv/empty": "done",
        "/srv/full": "attention",
        '/srv/odd 100% "q"\\': "done",
        [DROP_IN]: "done",
        systemd: "done",
      });
      expect(report.steps.find(({ what }: InstallStep) => what === "/srv/full").detail).toContain(
        "chown -R pg321: /srv/full",
      );
      expect(await Bun.file(box.path(CONFIG)).text()).toBe(own);
      expect(
        await rights("/srv/new", "/srv/new/backups", "/srv/full", "/srv/empty", "/home/x/backups"),
      ).toEqual(["root:root 755", "pg321:pg321 700", "root:root 755", "pg321:pg321 755", "pg321:pg321 700"]);
      const shown = await box.ok(
        "systemctl",
        "show",
        "pg321",
        "-pReadWritePaths",
        "-pBindPaths",
        "-pProtectHome",
      );
      expect(shown.trim().split("\n").sort()).toEqual([
        "BindPaths=-/home/x/backups:/home/x/backups:rbind",
        "ProtectHome=tmpfs",
        String.raw`ReadWritePaths=-/srv/empty -/srv/full -/srv/new/backups "-/srv/odd 100% \"q\"\\"`,
      ]);
      expect((await box.run("systemd-analyze", "verify", "pg321.service")).stderr).toBe("");
      await box.ok("chown", "-R", "pg321:", "/srv/full");
      expect(Object.values(states(await install())).sort()).not.toContain("attention");
    });

    test("a storage that the service can reach but commands cannot is reported", async () => {
      await box.write(CONFIG, config("/root/backups"));
      await install();
      const { steps, next } = await install();
      expect(steps.find(({ what }: InstallStep) => what === "/root/backups")).toMatchObject({
        state: "attention",
        detail: expect.stringMatching(/^pg321 cannot enter \/root:/),
      });
      // With a valid config only the start is left to do, and what is to be kept elsewhere.
      expect(next).toEqual([
        expect.stringContaining("sudo systemctl enable --now pg321"),
        expect.stringContaining(`\n    ${CONFIG} (config, root:pg321 0640)`),
      ]);
    });

    test("separate directories for temporary files and the catalog are created too", async () => {
      const own = 'temp_dir = "/srv/scratch"\n[catalog]\npath = "/srv/catalog/c.db"\n';
      await box.write(CONFIG, own + config("/srv/empty"));
      expect(states(await install())).toMatchObject({ "/srv/scratch": "done", "/srv/catalog": "done" });
      expect(await rights("/srv/scratch", "/srv/catalog")).toEqual(["pg321:pg321 700", "pg321:pg321 700"]);
    });

    test("the drop-in is removed if the config no longer needs it, and a config that pg321 cannot read is reported", async () => {
      await box.write(CONFIG, config("/var/lib/pg321/backups"));
      await box.ok("chmod", "0600", CONFIG);
      const report = await install();
      expect(states(report)).toMatchObject({
        [DROP_IN]: "done",
        [CONFIG]: "attention",
        "/var/lib/pg321/backups": "done",
      });
      expect((await box.run("test", "-e", DROP_IN)).exitCode).toBe(1);
      expect(await rights("/var/lib/pg321/backups", CONFIG)).toEqual(["pg321:pg321 700", "root:pg321 600"]);
    });

    test("nothing is created below a mount point where nothing is mounted", async () => {
      await box.write("/etc/fstab", "# disks\nLABEL=usb /mnt/u\\040s\\040b ext4 noauto 0 0\n");
      await box.write(CONFIG, config("/mnt/u s b/backups"));
      const { steps } = await install();
      expect(steps.find(({ what }: InstallStep) => what === "/mnt/u s b/backups")).toMatchObject({
        state: "attention",
        detail: expect.stringContaining("/mnt/u s b is in /etc/fstab but not mounted"),
      });
      expect((await box.run("test", "-e", "/mnt/u s b")).exitCode).toBe(1);
      await box.sh("mkdir '/mnt/u s b'; mount -t tmpfs x '/mnt/u s b'");
      expect(states(await install())).toMatchObject({ "/mnt/u s b/backups": "done" });
    });

    test("files that root has made in the state directory become the service's", async () => {
      await box.sh("chown -R root: /var/lib/pg321; echo key > /var/lib/pg321/signing.key");
      expect(states(await install())).toMatchObject({ "/var/lib/pg321": "done" });
      expect(await rights("/var/lib/pg321", "/var/lib/pg321/signing.key")).toEqual([
        "pg321:pg321 700",
        "pg321:pg321 644",
      ]);
    });

    test("the state directory may be a symlink to another disk", async () => {
      await box.sh(
        "mv /var/lib/pg321 /srv/state; ln -s /srv/state /var/lib/pg321; chown -R root: /srv/state",
      );
      expect(states(await install())).toMatchObject({ "/var/lib/pg321": "done" });
      expect(await rights("/srv/state", "/srv/state/signing.key")).toEqual([
        "pg321:pg321 700",
        "pg321:pg321 644",
      ]);
      expect(states(await install())).toMatchObject({ "/var/lib/pg321": "right" });
      await box.sh("rm /var/lib/pg321; mv /srv/state /var/lib/pg321");
    });

    test("the account is created without systemd-sysusers too; a missing systemd is reported", async () => {
      await box.sh(
        "userdel pg321; mv /usr/bin/systemd-sysusers /root/; mv /run/systemd/system /run/systemd/hidden",
      );
      const report = await install();
      await box.sh("mv /root/systemd-sysusers /usr/bin/; mv /run/systemd/hidden /run/systemd/system");
      expect(states(report)).toMatchObject({ "user pg321": "done", systemd: "attention" });
      expect(await box.sh("getent passwd pg321 | cut -d: -f6-")).toBe("/var/lib/pg321:/usr/sbin/nologin\n");
      expect(await box.sh("id -gn pg321")).toBe("pg321\n");
    });

    test("an upgrade replaces the executable and names both versions", async () => {
      const present = (await box.ok(UNPACKED, "--version")).trim();
      await unpack(box, await executable.as("9.9.9"));
      const { steps } = await install();
      expect(steps.find(({ what }: InstallStep) => what === "/usr/local/bin/pg321")).toMatchObject({
        state: "done",
        detail: `pg321 9.9.9 (0ld) in place of ${present}`,
      });
      expect(await box.ok("/usr/local/bin/pg321", "--version")).toBe("pg321 9.9.9 (0ld)\n");
      expect(await box.sh("ls -A /usr/local/bin /etc/pg321 /etc/systemd/system | grep -F .pg321 || :")).toBe(
        "",
      );
    }, 60_000);

    test("a downgrade below the catalog is refused before anything is changed", async () => {
      const catalog = "/var/lib/pg321/catalog.db";
      await box.sh(`rm -f ${catalog}*; python3 -c '
import sqlite3
c = sqlite3.connect("${catalog}")
c.executescript("PRAGMA journal_mode=WAL; PRAGMA application_id=${0x70673332}; CREATE TABLE t (a); PRAGMA user_version=999")
'; chown pg321: ${catalog}*`);
      await box.ok("rm", "/usr/local/bin/pg321");
      const before = await listing();
      const { exitCode, stdout, stderr } = await box.run(UNPACKED, "install");
      expect({ exitCode, stdout }).toEqual({ exitCode: 2, stdout: "" });
      expect(stderr).toContain(
        `catalog ${catalog}: written by a newer pg321 (version 999, this program knows`,
      );
      const left = (text: string) => text.split("\n").filter((line) => !/ d|-(wal|shm) /.test(line));
      expect(left(await listing())).toEqual(left(before));
      expect(await box.sh(`stat -c %U:%G ${catalog}* | sort -u`)).toBe("pg321:pg321\n");
      await box.sh(`rm ${catalog}*`);
    });

    test("uninstall removes the service, keeps everything else and reports where it is", async () => {
      await box.write(CONFIG, config("/srv/full"));
      await install();
      await box.write(`${UNIT}.d/own.conf`, "[Service]\nNice=1\n");
      const before = await listing();
      const uninstall = async (...words: string[]) =>
        JSON.parse(await box.ok("/usr/local/bin/pg321", "uninstall", "--json", ...words));
      const dry = await uninstall("--dry-run");
      expect(await listing()).toBe(before);
      const report = await uninstall();
      expect(misfits(report, documentedKeys("JSON of uninstall"))).toEqual([]);
      expect(states(report)).toMatchObject({
        [UNIT]: "done",
        [DROP_IN]: "done",
        "/usr/local/bin/pg321": "done",
        [PAGE]: "done",
        "/usr/local/share/doc/pg321": "done",
        [`${UNIT}.d`]: "kept",
        systemd: "done",
        "/etc/pg321": "kept",
        "/etc/pg321/credentials": "kept",
        "/var/lib/pg321": "kept",
        "/srv/full": "kept",
        "user pg321": "kept",
      });
      expect(dry.steps.map(({ what }: InstallStep) => what)).toEqual(
        report.steps.map(({ what }: InstallStep) => what),
      );
      const gone = (await listing()).split("\n").map((line) => line.split(" -")[0]);
      const was = before.split("\n").map((line) => line.split(" -")[0]);
      expect(was.filter((path) => !gone.includes(path)).filter((path) => !path?.includes(" d"))).toEqual(
        [UNIT, DROP_IN, "/usr/local/bin/pg321", PAGE].sort(),
      );
      expect(await box.ok("ls", "/srv/full")).toBe("file\n");
      expect((await box.run("systemctl", "cat", "pg321.service")).exitCode).not.toBe(0);
    });
  },
);
