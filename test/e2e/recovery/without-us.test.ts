import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { contentsOf } from "../../lab/data/compare-databases.ts";
import { blocksBelow } from "../../lab/documented-commands.ts";
import { useExecutable } from "../../lab/machine/executable.ts";
import {
  boxStorage,
  CONFIG,
  connectIn,
  credentialStorage,
  serviceConfig,
  startInstalledBox,
  startPostgresIn,
  UNPACKED,
} from "../../lab/machine/installed-box.ts";
import type { SystemdBox } from "../../lab/machine/systemd-box.ts";
import { noBoxReason } from "../../lab/machine/systemd-box.ts";
import type { S3Lab } from "../../lab/servers/s3.ts";
import { rgw } from "../../lab/servers/s3.ts";

/*
 * The page of a recovery kit, word for word: pg321, its keys, its catalog and PostgreSQL's data are gone, and the
 * commands of the page, as they were written, bring every database back as it was. Packages are not installed.
 */

const KIT = "/root/kit";
const OBJECTS = `
  CREATE TABLE orders (id serial PRIMARY KEY, customer text NOT NULL);
  INSERT INTO orders (customer) SELECT 'c' || n FROM generate_series(1, 1000) AS n;
  CREATE VIEW totals AS SELECT customer, count(*) AS n FROM orders GROUP BY 1;
  CREATE SCHEMA shop; CREATE TABLE shop.price (id int PRIMARY KEY, cents int);
  ALTER TABLE orders OWNER TO app_owner; ALTER SCHEMA shop OWNER TO app_owner; ALTER VIEW totals OWNER TO other_owner;
  GRANT SELECT ON orders, shop.price TO "App Reader", other_owner; GRANT USAGE ON SCHEMA shop TO "App ""quoted"" Reader";
  GRANT UPDATE (customer) ON orders TO "App Reader" WITH GRANT OPTION;
  ALTER DEFAULT PRIVILEGES FOR ROLE maker IN SCHEMA shop GRANT SELECT ON TABLES TO later;
  ALTER TABLE shop.price ENABLE ROW LEVEL SECURITY;
  CREATE POLICY mine ON shop.price TO policed, "Policed Too" USING (true);
  ALTER DATABASE app OWNER TO app_owner; ALTER DATABASE app SET statement_timeout = '1min'`;
const ROLES = [
  "app_owner",
  "other_owner",
  '"App Reader"',
  '"App ""quoted"" Reader"',
  "maker",
  "later",
  "policed",
  '"Policed Too"',
];

setDefaultTimeout(120_000);
const executable = useExecutable();
let box: SystemdBox;
let s3: S3Lab;
let page: string;
const before = new Map<string, ReadonlyMap<string, string>>();

async function sql(database: string, ...statements: string[]): Promise<void> {
  await using connection = await connectIn(box, database);
  for (const statement of statements) await connection.unsafe(statement).simple();
}

async function facts(database: string): Promise<ReadonlyMap<string, string>> {
  await using connection = await connectIn(box, database);
  return (await contentsOf(connection)).facts;
}

/** The commands of a section of the page, as they stand there, without those that install packages. */
const below = (heading: string) =>
  blocksBelow(page, heading, ["sh"])
    .join("")
    .replace(/^apt-get .*$/gm, "");

/** Runs commands of the page in one shell that stops at the first failure; `answers` are what its questions get. */
async function follow(...commands: string[]): Promise<string> {
  await box.write("/root/steps.sh", commands.join("\n"));
  const answers = `${s3.access_key_id}\n${s3.secret_access_key}\n`;
  await box.write("/root/answers", answers, 0o600);
  return box.sh("bash -e -o pipefail /root/steps.sh </root/answers 2>&1");
}

describe.skipIf(noBoxReason !== undefined)(`a recovery kit${noBoxReason ? `: ${noBoxReason}` : ""}`, () => {
  beforeAll(async () => {
    const [installed, lab] = await Promise.all([startInstalledBox(await executable.present()), rgw()]);
    [box, s3] = [installed.box, lab];
    const bucket = await s3.makeBucket();
    const storages = [boxStorage("disk", "/srv/backups"), await credentialStorage(box, "r2", s3, bucket)];
    const more = '[schedule]\nbackup = "off"\n[http]\nlisten = "off"';
    const { recipient } = installed;
    const databases = ["app", "odd name %"];
    await box.write(CONFIG, serviceConfig({ recipient, databases, storages, more }));
    await box.sh(
      `chgrp pg321 /etc/pg321/identity.txt ${CONFIG}; chmod 0640 /etc/pg321/identity.txt ${CONFIG}; ${UNPACKED} install`,
    );
    const roles = ROLES.map((role) => `CREATE ROLE ${role}`);
    await sql("postgres", ...roles, "CREATE DATABASE app", 'CREATE DATABASE "odd name %"');
    await sql("app", OBJECTS);
    await sql("odd name %", "CREATE TABLE invoice AS SELECT 1 AS id");
    for (const name of databases) before.set(name, await facts(name));
    // The backup of one database needs the first identity, that of the other the second one.
    await box.ok("pg321", "backup", "odd name %");
    const rotated = await box.ok("pg321", "key", "rotate");
    expect(await box.ok("stat", "-c", "%a %U %G", "/etc/pg321/identity.txt")).toBe("640 root pg321\n");
    await box.sh(/^ {2}sudo (sed -i .*)$/m.exec(rotated)?.[1] ?? "false");
    await box.ok("pg321", "backup", "app");
    await box.ok("pg321", "recovery-kit", KIT);
    page = await box.ok("cat", `${KIT}/recovery-kit.md`);
    await box.ok("cp", "/etc/pg321/identity.txt", "/root/from-the-safe.txt");
  }, 180_000);
  afterAll(() => box?.[Symbol.asyncDispose]());

  test("holds no secret, and names each identity with the backups that need it", async () => {
    const kit = await box.sh(`cat ${KIT}/*`);
    const secrets = await box.sh(
      "cat /etc/pg321/credentials/*; grep -h AGE-SECRET /etc/pg321/identity.txt; grep -v -- --- /var/lib/pg321/signing.key | tail -n 1",
    );
    const lines = secrets.split("\n").filter((line) => line.length > 5);
    expect(lines.length).toBeGreaterThanOrEqual(5);
    for (const secret of lines) expect(kit).not.toContain(secret);
    const { identities } = JSON.parse(await box.ok("pg321", "key", "show", "--json"));
    expect(identities).toHaveLength(2);
    const [old, now] = identities.map(({ recipient }: { recipient: string }) => recipient);
    const row = (recipient: string) =>
      page.split("\n").find((line) => line.startsWith(`| identity of \`${recipient}\``));
    expect(row(old)).toMatch(/\| opens 1 backup \([-\d]+\) \| `\/etc\/pg321\/identity\.txt` \|$/);
    expect(row(now)).toMatch(/\| opens 1 backup \([-\d]+\); opens the backups to come \|/);
    await box.sh(`cd ${KIT} && sha256sum -c SHA256SUMS`);
    expect(await box.ok("stat", "-c", "%a %U", `${KIT}/recovery-kit.md`)).toBe("644 root\n");
    expect(JSON.parse(await box.ok("pg321", "doctor", "--json")).findings).toContainEqual(
      expect.objectContaining({ subject: "recovery-kit", verdict: "ok", hint: null }),
    );
  });

  test("brings every database back, from the directory and from the bucket, without pg321", async () => {
    await box.sh(`systemctl stop postgresql-test; rm -rf /srv/postgres /etc/pg321 /var/lib/pg321 /opt/pg321
      rm -rf /usr/local/bin/pg321 /etc/systemd/system/pg321.service*; systemctl daemon-reload`);
    await startPostgresIn(box);
    const prepare = below("Prepare a fresh Debian");
    const put = `cp ${KIT}/unseal.py . && cp /root/from-the-safe.txt identity.txt`;
    const steps = async (name: string, way: string) => {
      const fetched = below(`${name} from ${way}`);
      const printed = await follow(prepare, put, fetched, below(`Open and restore ${name}`));
      expect(printed).toContain(": OK\n");
      expect(printed).toContain("\nopened\n");
      expect(printed).toContain("\nrestored\n");
      const [, database = ""] = name.split("/");
      expect(await facts(database)).toEqual(before.get(database) ?? new Map());
      return printed;
    };
    const printed = await steps("main/app", "disk, with cp");
    for (const role of ROLES) expect(printed).toContain(`\nCREATE ROLE ${role};\n`);
    const settings = "SELECT setconfig FROM pg_db_role_setting";
    expect(await box.ok("runuser", "-u", "postgres", "--", "psql", "-Atc", settings)).toBe(
      "{statement_timeout=1min}\n",
    );
    expect(printed).not.toMatch(/ERROR|WARNING|could not|CREATE ROLE postgres/);
    await steps("main/odd name %", "r2, with curl");
    await sql("postgres", "DROP DATABASE app");
    await box.sh("rm -rf /root/recovery");
    await steps("main/app", "r2, with curl");
  });

  test("its other ways to fetch lead to the same object", async () => {
    const prepare = below("Prepare a fresh Debian");
    const check = below("Open and restore main/odd name %").split("\n")[0] ?? "";
    await box.sh("rm -rf /root/recovery");
    expect(await follow(prepare, below("main/odd name % from r2, with rclone"), check)).toContain(": OK\n");
    const listed = await follow(prepare, below("Backups that are newer than this kit"));
    expect(listed.match(/^backup_app_.*\.dump\.zst\.enc$/gm)).toHaveLength(2);
    // awscli is large: its command is only parsed, by a program that shows its arguments.
    await box.write("/usr/local/bin/aws", '#!/bin/sh\nprintf "%s|" "$AWS_ACCESS_KEY_ID" "$@"\n', 0o755);
    const said = await follow(prepare, below("main/odd name % from r2, with aws"));
    expect(said).toMatch(
      new RegExp(
        `${s3.access_key_id}\\|--endpoint-url\\|${s3.endpoint}\\|--region\\|${s3.region}\\|s3\\|cp\\|s3://[^|]*/pg321/main/odd%20name%20%25/backup_odd%20name%20%25_[^|/]*\\.enc\\|backup_odd[^|/]*\\.enc\\|`,
      ),
    );
  });
});
