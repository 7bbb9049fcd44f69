import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { contentsOf } from "../../lab/data/compare-databases.ts";
import { fillSampleDatabase } from "../../lab/data/sample-database.ts";
import { useExecutable } from "../../lab/machine/executable.ts";
import {
  boxStorage,
  CONFIG,
  connectIn,
  credentialStorage,
  serviceConfig,
  startInstalledBox,
  UNPACKED,
  unpack,
} from "../../lab/machine/installed-box.ts";
import type { SystemdBox } from "../../lab/machine/systemd-box.ts";
import { noBoxReason } from "../../lab/machine/systemd-box.ts";
import { rgw } from "../../lab/servers/s3.ts";

const executable = useExecutable();
const DISK = "/srv/backups";
const EXPORT = "/root/pg321-host.age";
const PHRASE = "/root/phrase";
const FILES = [
  CONFIG,
  "/etc/pg321/credentials/bucket-id",
  "/etc/pg321/credentials/bucket-secret",
  "/etc/pg321/identity.txt",
  "/var/lib/pg321/signing.key",
  "/etc/systemd/system/pg321.service.d/override.conf",
  "/root/more-secret",
];

let box: SystemdBox;
const rights = async (...paths: string[]) => await box.ok("stat", "-c", "%n %U:%G %a", ...paths);
const sums = async () => await box.ok("sha256sum", ...FILES);

describe.skipIf(noBoxReason !== undefined)(
  `in a systemd of its own${noBoxReason ? `: ${noBoxReason}` : ""}`,
  () => {
    beforeAll(async () => {
      const [installed, lab] = await Promise.all([startInstalledBox(await executable.present()), rgw()]);
      box = installed.box;
      const bucket = await credentialStorage(box, "bucket", lab, await lab.makeBucket());
      const storages = [boxStorage("disk", DISK), bucket];
      const more = '[schedule]\nbackup = "off"\n[http]\nlisten = "unix:/run/pg321/http.sock"';
      const text = serviceConfig({ recipient: installed.recipient, databases: ["shop"], storages, more });
      await box.write(CONFIG, text);
      await box.write(FILES[5] ?? "", "[Service]\nLoadCredential=more:/root/more-secret\n");
      await box.write("/root/more-secret", "of the drop-in", 0o600);
      await box.write(PHRASE, "correct horse battery\n", 0o600);
      await box.sh(
        "chgrp pg321 /etc/pg321/identity.txt /etc/pg321/config.toml; chmod 0640 /etc/pg321/identity.txt /etc/pg321/config.toml",
      );
      await box.ok(UNPACKED, "install");
      await using sql = await connectIn(box, "postgres");
      await sql.unsafe("create database shop template template0");
      await using shop = await connectIn(box, "shop");
      await fillSampleDatabase(shop);
      await box.ok("pg321", "backup");
      await box.ok("pg321", "export-keys", EXPORT, "--passphrase-file", PHRASE);
    }, 120_000);
    afterAll(() => box?.[Symbol.asyncDispose]());

    test("config, keys, user and disk are gone: restore-host puts a new host in their place, with owners and modes", async () => {
      expect(await rights(EXPORT)).toBe(`${EXPORT} root:root 600\n`);
      const directories = ["/etc/pg321", "/etc/pg321/credentials", "/var/lib/pg321"];
      const before = [await sums(), await rights(...FILES, ...directories)];
      await box.sh(`rm -rf /etc/pg321 /var/lib/pg321 /usr/local/bin/pg321 ${DISK} /root/more-secret
        rm -rf /etc/systemd/system/pg321.service*; systemctl daemon-reload
        userdel pg321; useradd --system --no-create-home taken`);
      const dry = await box.ok(UNPACKED, "restore-host", EXPORT, "--passphrase-file", PHRASE, "--dry-run");
      expect(dry).toContain("/var/lib/pg321/signing.key");
      await box.sh("! test -e /etc/pg321; ! id pg321 2>/dev/null");
      const restored = await box.run(UNPACKED, "restore-host", EXPORT, "--passphrase-file", PHRASE, "--json");
      // The disk is lost with the host.
      expect(restored.exitCode).toBe(3);
      expect(JSON.parse(restored.stdout).storages).toEqual([
        { storage: "disk", adopted: 0, left: 0, error: expect.stringContaining(DISK) },
        { storage: "bucket", adopted: 1, left: 0, error: null },
      ]);
      expect([await sums(), await rights(...FILES, ...directories)]).toEqual(before);
    });

    test("the database is restored from the bucket, and the new host becomes the one that makes the backups", async () => {
      await box.sh(
        `${UNPACKED} restore latest -d shop --output - | (createdb -h /run/postgresql -U postgres -T template0 shop_restored &&
          pg_restore -h /run/postgresql -U postgres --exit-on-error -d shop_restored)`,
      );
      await using shop = await connectIn(box, "shop");
      await using restored = await connectIn(box, "shop_restored");
      expect((await contentsOf(restored)).facts).toEqual((await contentsOf(shop)).facts);
      await box.ok(UNPACKED, "install");
      const doctor = JSON.parse((await box.run("pg321", "doctor", "--json")).stdout);
      expect(doctor.findings.filter(({ verdict }: { verdict: string }) => verdict === "failed")).toEqual([]);
      const exported = doctor.findings.find(({ subject }: { subject: string }) => subject === "export-keys");
      expect(exported.message).toEndWith("unchanged since");
      await box.ok("systemctl", "start", "pg321");
      await box.ok("pg321", "backup");
      expect(JSON.parse(await box.ok("pg321", "list", "--json")).backups).toHaveLength(2);
    });

    test("doctor names a key that copying has left to root, and how to give it back", async () => {
      await box.sh("chown root: /var/lib/pg321/signing.key");
      const { findings } = JSON.parse((await box.run("pg321", "doctor", "--json")).stdout);
      const about = findings.filter(
        ({ subject }: { subject: string }) => subject === "/var/lib/pg321/signing.key",
      );
      const hint: string = about[0]?.hint;
      expect(about).toMatchObject([
        {
          area: "keys",
          verdict: "failed",
          hint: expect.stringContaining("chown pg321 /var/lib/pg321/signing.key"),
        },
        { area: "host", message: "signing key, root:root 0600" },
      ]);
      await box.sh(hint);
      expect((await box.run("pg321", "doctor")).exitCode).toBe(0);
    });

    test("the config that install has left is replaced, one that somebody wrote is not", async () => {
      await box.sh("systemctl stop pg321; rm -rf /etc/pg321 /var/lib/pg321 /usr/local/bin/pg321");
      await unpack(box, await executable.present());
      await box.ok(UNPACKED, "install");
      const words = [UNPACKED, "restore-host", EXPORT, "--passphrase-file", PHRASE];
      expect((await box.run(...words)).exitCode).toBe(0);
      await box.sh(`echo '# mine' >>${CONFIG}`);
      const refused = await box.run(...words);
      expect(refused.exitCode).toBe(2);
      expect(refused.stderr).toContain(`already here with other contents: ${CONFIG}\n`);
    });
  },
);
