import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { contentsOf } from "../../lab/data/compare-databases.ts";
import { fillSampleDatabase } from "../../lab/data/sample-database.ts";
import { useExecutable } from "../../lab/machine/executable.ts";
import {
  boxStorage,
  CONFIG,
  connectIn,
  credentialStorage,
  printed,
  runOnceInSandbox,
  serviceConfig,
  startInstalledBox,
} from "../../lab/machine/installed-box.ts";
import type { SystemdBox } from "../../lab/machine/systemd-box.ts";
import { noBoxReason } from "../../lab/machine/systemd-box.ts";
import { rgw } from "../../lab/servers/s3.ts";

const executable = useExecutable();
/** Paths with special characters, and paths that the unit hides. */
const PATHS = { disk: '/srv/odd 100% "q"\\e:x', home: "/home/someone/backups", scratch: "/tmp/back:ups" };

let box: SystemdBox;

/** Runs a script as the service, in its sandbox; returns its output. */
async function inSandbox(script: string): Promise<string> {
  await box.write("/opt/pg321/script", script);
  return (await runOnceInSandbox(box, "/bin/bash /opt/pg321/script")).printed;
}

describe.skipIf(noBoxReason !== undefined)(
  `in a systemd of its own${noBoxReason ? `: ${noBoxReason}` : ""}`,
  () => {
    beforeAll(async () => {
      const [installed, lab] = await Promise.all([startInstalledBox(await executable.present()), rgw()]);
      box = installed.box;
      const { recipient } = installed;
      const storages = Object.entries(PATHS).map(([name, path]) => boxStorage(name, path));
      storages.push(await credentialStorage(box, "bucket", lab, await lab.makeBucket()));
      await box.write(CONFIG, serviceConfig({ recipient, databases: ["shop"], storages }));
      await box.ok("pg321", "install");
      await using sql = await connectIn(box, "postgres");
      await sql.unsafe("create database shop template template0");
      await using shop = await connectIn(box, "shop");
      await fillSampleDatabase(shop);
    }, 120_000);
    afterAll(() => box?.[Symbol.asyncDispose]());

    test("a backup reaches PostgreSQL by peer authentication and every storage, and its restore is identical", async () => {
      const run = await runOnceInSandbox(box, "/usr/local/bin/pg321 backup");
      expect(run).toMatchObject({ exitCode: 0 });
      const [backup] = (await printed(box, "list")).backups;
      expect(backup).toMatchObject({ status: "VERIFIED", database: "shop" });
      expect(
        backup.copies.map(({ storage, state }: { storage: string; state: string }) => `${storage} ${state}`),
      ).toEqual(["bucket CONFIRMED", "disk CONFIRMED", "home CONFIRMED", "scratch CONFIRMED"]);
      for (const path of Object.values(PATHS))
        expect(await box.ok("stat", "-c", "%U %a %s", `${path}/${backup.object_key}`)).toBe(
          `pg321 600 ${backup.object_bytes}\n`,
        );

      await using admin = await connectIn(box, "postgres");
      await admin.unsafe("create database restored template template0");
      const asPostgres = "setpriv --reuid=postgres --regid=postgres --init-groups";
      await box.sh(
        `cd /; pg321 restore latest -d shop --output - | ${asPostgres} pg_restore --exit-on-error -d restored`,
      );
      await using source = await connectIn(box, "shop");
      await using restored = await connectIn(box, "restored");
      const { facts } = await contentsOf(source);
      expect(facts.size).toBeGreaterThan(20);
      expect((await contentsOf(restored)).facts).toEqual(facts);
    }, 60_000);

    test("pg_dump runs with the configured nice and ionice values", async () => {
      await using shop = await connectIn(box, "shop");
      const seen = await shop.begin(async (held) => {
        // pg_dump waits for this lock until its priority was checked.
        await held.unsafe("create table held (id int); lock table held in access exclusive mode");
        await held.unsafe("commit; begin; lock table held in access exclusive mode");
        const ended = runOnceInSandbox(box, "/usr/local/bin/pg321 backup");
        // A first look may find `pg_dump --version`, which needs no priority.
        const look = async () => {
          const { stdout } = await box.run(
            "bash",
            "-c",
            "P=$(pgrep -x pg_dump) && ps -o ni=,user= -p $P && ionice -p $P",
          );
          return stdout.replace(/ +/g, " ").trim() === "10 pg321\nbest-effort: prio 4";
        };
        await box.until("a pg_dump of the service's user with nice 10 and ionice best-effort 4", look);
        return { ended };
      });
      expect(await seen.ended).toMatchObject({ exitCode: 0 });
      await shop.unsafe("drop table held");
    }, 60_000);

    test("verify reads every copy back once the service can read the identity", async () => {
      const refused = await runOnceInSandbox(box, "/usr/local/bin/pg321 verify");
      expect(refused).toMatchObject({
        exitCode: 12,
        printed: expect.stringContaining("/etc/pg321/identity.txt"),
      });
      await box.sh("chgrp pg321 /etc/pg321/identity.txt; chmod 0640 /etc/pg321/identity.txt");
      expect(await runOnceInSandbox(box, "/usr/local/bin/pg321 verify")).toMatchObject({ exitCode: 0 });
    }, 60_000);

    test("nothing else is writable, and unneeded directories are hidden", async () => {
      const printed = await inSandbox(`
        for path in /etc /srv /usr/local/bin /var/lib /var/log /opt/pg321 /run; do
          touch $path/pg321-was-here 2>/dev/null && echo "wrote $path"; done
        touch /var/lib/pg321/x /run/pg321/x /tmp/x && rm /var/lib/pg321/x && echo "wrote its own"
        ls /home /root /dev/mem /dev/vda /dev/sda 2>/dev/null
        cat /etc/shadow /etc/pg321/credentials/* 2>/dev/null && echo "read"
        mount -t tmpfs x /tmp 2>/dev/null && echo "mounted"
        unshare -U true 2>/dev/null && echo "unshared"
        chown root /var/lib/pg321 2>/dev/null && echo "chowned"
        kill -0 1 2>/dev/null && echo "signalled"
        grep -E '^(CapEff|CapBnd|NoNewPrivs|Seccomp):' /proc/self/status
        # Whether the holder of a lease lives is seen there, by its process and by the boot that it is of.
        cut -d' ' -f2 /proc/1/stat
        cat /proc/sys/kernel/random/boot_id`);
      expect(printed.split("\n").filter((line) => line !== "")).toEqual([
        ...["wrote its own", "/home:", "someone", "/root:"],
        ...["CapEff:\t0000000000000000", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"],
        "(systemd)",
        (await Bun.file("/proc/sys/kernel/random/boot_id").text()).trim(),
      ]);
    });

    test("a hook runs as the service's user, in its sandbox", async () => {
      await box.write(
        "/opt/pg321/hook",
        `#!/bin/bash
        echo "$(id -un) $PG321_HOOK $PG321_DATABASE"
        touch /var/lib/pg321/hooked /tmp/hooked && rm /var/lib/pg321/hooked && echo "wrote its own"
        for path in /etc /srv /usr/local/bin /var/log /opt/pg321 /run; do
          touch $path/hooked 2>/dev/null && echo "wrote $path"; done
        ls /dev/sda /dev/vda 2>/dev/null
        cat /etc/shadow 2>/dev/null && echo "read"
        mount -t tmpfs x /tmp 2>/dev/null && echo "mounted"
        env | grep -c CREDENTIALS
        cat /run/credentials/pg321.service/pg321_bucket-id > /dev/null && echo "read the credentials"
        grep -E '^(CapEff|CapBnd|NoNewPrivs):' /proc/self/status
        sudo -n true 2>/dev/null || setpriv --reuid=0 true 2>/dev/null || echo "gained no rights"`,
      );
      const config = await box.ok("cat", CONFIG);
      const hooks = 'pre_backup = [{ command = ["/opt/pg321/hook"] }]';
      await box.sh("chmod 0755 /opt/pg321 /opt/pg321/hook");
      await box.write(CONFIG, config.replace("[[server]]\n", `[[server]]\n${hooks}\n`));
      const run = await runOnceInSandbox(box, "/usr/local/bin/pg321 backup");
      const [{ id }] = (await printed(box, "list")).backups;
      await box.write(CONFIG, config);
      expect(run).toMatchObject({ exitCode: 0 });
      const { hooks: ran } = await printed(box, "show", id);
      expect(ran.pre_backup).toMatchObject([{ outcome: "OK", error: null }]);
      expect(ran.pre_backup[0].output.trim().split("\n")).toEqual([
        ...["pg321 pre_backup shop", "wrote its own", "0", "read the credentials"],
        ...[
          "CapEff:    0000000000000000",
          "CapBnd:    0000000000000000",
          "NoNewPrivs:    1",
          "gained no rights",
        ],
      ]);
      expect((await box.run("ls", "/tmp/hooked")).exitCode).not.toBe(0);
    }, 60_000);

    test("a disk that is mounted while the service runs is writable at once", async () => {
      await box.ok("mkdir", "-p", "/mnt/late");
      const printed = inSandbox("until touch /mnt/late/file 2>/dev/null; do sleep 0.05; done; echo wrote");
      const runs = async () => (await box.run("pgrep", "-f", "^/bin/bash /opt/pg321/script")).exitCode === 0;
      await box.until("the service", runs);
      await box.sh("mount -t tmpfs -o mode=0700,uid=$(id -u pg321) late /mnt/late");
      expect(await printed).toBe("wrote\n");
    });

    test("variables that control the runtime are removed from the environment", async () => {
      await box.ok(
        "systemctl",
        "set-environment",
        "BUN_BE_BUN=1",
        "BUN_OPTIONS=--version",
        "NODE_OPTIONS=--x",
      );
      const lines = await inSandbox("env | grep -E '^(BUN|NODE)' || echo none");
      await box.ok("systemctl", "unset-environment", "BUN_BE_BUN", "BUN_OPTIONS", "NODE_OPTIONS");
      expect(lines).toContain("none\n");
    });

    test("each file of the credentials directory is passed to the service, and to nobody else", async () => {
      const lines = await inSandbox("cd $CREDENTIALS_DIRECTORY && stat -c '%n %U %a' *");
      expect(lines).toContain("pg321_bucket-id pg321 400\npg321_bucket-secret pg321 400\n");
      const { secret_access_key } = await rgw();
      const shown = await box.ok("systemctl", "show", "pg321.service");
      expect(shown).toContain("StateDirectory=pg321");
      expect(shown).not.toContain(secret_access_key);
      const journal = await box.ok("journalctl", "--output=export");
      expect(journal).toContain("pg321");
      expect(journal).not.toContain(secret_access_key);
      expect(
        (await box.run("grep", "-rlF", secret_access_key, "/var/lib/pg321", '/srv/odd 100% "q"\\e:x')).stdout,
      ).toBe("");
    });

    test("root's commands leave nothing that the service cannot write to", async () => {
      await box.ok("pg321", "backup");
      await box.ok("pg321", "cleanup");
      const places = ["/var/lib/pg321", ...Object.values(PATHS)];
      expect(await box.ok("find", ...places, "!", "-user", "pg321")).toBe("");
    }, 60_000);

    test("the log in the journal has lines to read, or with --log-format json objects", async () => {
      const lines = async (command: string) => {
        const { exitCode, printed } = await runOnceInSandbox(box, `/usr/local/bin/pg321 ${command}`);
        expect(exitCode).toBe(0);
        return printed.split("\n");
      };
      expect(await lines("backup")).toContainEqual(expect.stringMatching(/^backup done server=main /));
      const objects = (await lines("backup --log-format json")).filter((line) => line.startsWith("{"));
      expect(objects.map((line) => JSON.parse(line).message)).toContain("backup done");
    }, 60_000);

    test("a storage without a drop-in is not writable, but the others are", async () => {
      await box.sh("mv /etc/systemd/system/pg321.service.d/storages.conf /root/; systemctl daemon-reload");
      const run = await runOnceInSandbox(box, "/usr/local/bin/pg321 backup --json");
      await box.sh(
        "mkdir -p /etc/systemd/system/pg321.service.d; mv /root/storages.conf /etc/systemd/system/pg321.service.d/",
      );
      expect(run).toMatchObject({ exitCode: 3 });
      const [backup] = (await printed(box, "list")).backups;
      expect(backup).toMatchObject({ status: "PARTIAL" });
      expect(backup.copies.find(({ storage }: { storage: string }) => storage === "bucket")).toMatchObject({
        state: "CONFIRMED",
      });
      expect(backup.copies.find(({ storage }: { storage: string }) => storage === "disk").error).toContain(
        "read-only",
      );
    }, 60_000);
  },
);
