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
  unpack,
} from "../../lab/machine/installed-box.ts";
import type { SystemdBox } from "../../lab/machine/systemd-box.ts";
import { noBoxReason } from "../../lab/machine/systemd-box.ts";
import type { S3Lab } from "../../lab/servers/s3.ts";
import { rgw } from "../../lab/servers/s3.ts";

/*
 * The page of a recovery kit, word for word: pg321, its keys, its catalog and PostgreSQL's data are gone, and the
 * commands of the page, as they were written, bring every database back as it was. Packages are not installed. The
 * first kit knows no globals and dumps in one stream; the second one has globals, and app in several streams.
 */

const FIRST = "/root/first-kit";
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
/** Attributes that only the globals have. */
const GLOBALS = `
  ALTER ROLE app_owner LOGIN CONNECTION LIMIT 7 PASSWORD 'secret of the owner'; ALTER ROLE "Policed Too" CREATEDB;
  GRANT app_owner TO "App Reader" WITH ADMIN OPTION; ALTER ROLE later SET work_mem = '7MB';
  ALTER ROLE later IN DATABASE app SET search_path = shop; COMMENT ON ROLE maker IS 'makes';
  CREATE TABLESPACE fast LOCATION '/srv/fast'; GRANT CREATE ON TABLESPACE fast TO maker`;
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
let globalsBefore: string;
// biome-ignore lint/suspicious/noExplicitAny: tests read it freely.
let catalogBefore: any[];
const before = new Map<string, ReadonlyMap<string, string>>();

async function sql(database: string, ...statements: string[]): Promise<void> {
  await using connection = await connectIn(box, database);
  for (const statement of statements) await connection.unsafe(statement).simple();
}

async function facts(database: string): Promise<ReadonlyMap<string, string>> {
  await using connection = await connectIn(box, database);
  return (await contentsOf(connection)).facts;
}

const globals = async () =>
  (await box.ok("runuser", "-l", "postgres", "-c", "pg_dumpall --globals-only")).replace(
    /^\\(un)?restrict .*$/gm,
    "",
  );

/** The server is gone, and a fresh one is there, as Debian sets it up. */
async function startAnew(): Promise<void> {
  await box.sh("systemctl stop postgresql-test; rm -rf /srv/postgres /srv/fast /root/recovery");
  await startPostgresIn(box);
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
    const catalog = '[catalog]\nurl = "postgres://pg321@/pg321?host=/run/postgresql"';
    const more = `${catalog}\n[schedule]\nbackup = "off"\n[http]\nlisten = "off"`;
    // Before pg321 is installed, which opens the catalog.
    await sql("postgres", "CREATE DATABASE pg321 OWNER pg321 TEMPLATE template0 ENCODING 'UTF8'");
    const { recipient } = installed;
    const databases = ["app", "odd name %", "postgres"];
    const backedUp = [...databases, "pg321"];
    await box.write(CONFIG, serviceConfig({ recipient, databases: backedUp, storages, more }));
    await box.sh(
      `chgrp pg321 /etc/pg321/identity.txt ${CONFIG}; chmod 0640 /etc/pg321/identity.txt ${CONFIG}; ${UNPACKED} install`,
    );
    const roles = ROLES.map((role) => `CREATE ROLE ${role}`);
    await sql("postgres", ...roles, "CREATE DATABASE app", 'CREATE DATABASE "odd name %"');
    await sql("app", OBJECTS);
    await sql("odd name %", "CREATE TABLE invoice AS SELECT 1 AS id");
    await sql("postgres", "CREATE TABLE note AS SELECT 'of the administrator' AS text");
    for (const name of databases) before.set(name, await facts(name));
    // The backup of one database needs the first identity, that of the other the second one.
    await box.ok("pg321", "backup", "odd name %");
    const rotated = await box.ok("pg321", "key", "rotate");
    expect(await box.ok("stat", "-c", "%a %U %G", "/etc/pg321/identity.txt")).toBe("640 root pg321\n");
    await box.sh(/^ {2}sudo (sed -i .*)$/m.exec(rotated)?.[1] ?? "false");
    await box.ok("pg321", "backup", "app", "postgres");
    await box.ok("pg321", "recovery-kit", FIRST);
    await box.sh("install -d -o postgres -g postgres -m 0700 /srv/fast");
    for (const statement of GLOBALS.split(";")) await sql("postgres", statement);
    // Larger than the groups of small tables, so that there are several streams.
    await sql(
      "app",
      "CREATE TABLE large AS SELECT i, repeat(md5(i::text), 30) AS text FROM generate_series(1, 25000) i",
    );
    before.set("app in streams", await facts("app"));
    globalsBefore = await globals();
    await box.sh(
      `sed -i 's/^globals = false/globals = true/' ${CONFIG}; printf '[dump]\\njobs = 3\\n' >>${CONFIG}`,
    );
    await box.ok("pg321", "backup", "app");
    await box.ok("pg321", "backup", "pg321");
    await box.ok("pg321", "recovery-kit", KIT);
    // Newer than the backup of the catalog, and than the kit.
    await box.ok("pg321", "backup", "odd name %");
    catalogBefore = JSON.parse(await box.ok("pg321", "list", "--json")).backups;
    await box.sh("cp -a /etc/pg321 /root/saved-etc; cp -a /var/lib/pg321 /root/saved-state");
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
    expect(row(now)).toMatch(/\| opens 6 backups \([-\d]+\); opens the backups to come \|/);
    await box.sh(`cd ${KIT} && sha256sum -c SHA256SUMS`);
    expect(await box.ok("stat", "-c", "%a %U", `${KIT}/recovery-kit.md`)).toBe("644 root\n");
    expect(JSON.parse(await box.ok("pg321", "doctor", "--json")).findings).toContainEqual(
      expect.objectContaining({ subject: "recovery-kit", verdict: "ok", hint: null }),
    );
  });

  /** Follows the page for one database, or for the globals of a server. */
  async function restore(name: string, way: string): Promise<string> {
    const put = `cp ${KIT}/unseal.py . && cp /root/from-the-safe.txt identity.txt`;
    const steps = [put, below(`${name} from ${way}`), below(`Open and restore ${name}`)];
    const printed = await follow(below("Prepare a fresh Debian"), ...steps);
    expect(printed).toContain(": OK\n");
    expect(printed).toContain("\nopened\n");
    return printed;
  }

  async function restoreDatabase(name: string, way: string, contents?: string): Promise<string> {
    const printed = await restore(name, way);
    expect(printed).toContain("\nrestored\n");
    const [, database = ""] = name.split("/");
    const expected = before.get(contents ?? database);
    if (!expected?.size) throw new Error(`${name}: its contents before were not recorded`);
    expect(await facts(database)).toEqual(expected);
    return printed;
  }

  test("without globals it makes the roles, and brings every database back without pg321", async () => {
    await box.sh("rm -rf /etc/pg321 /var/lib/pg321 /opt/pg321 /usr/local/bin/pg321");
    await box.sh("rm -rf /etc/systemd/system/pg321.service*; systemctl daemon-reload");
    await startAnew();
    page = await box.ok("cat", `${FIRST}/recovery-kit.md`);
    expect(page).toContain("does not back up the globals of main");
    const printed = await restoreDatabase("main/app", "disk, with cp");
    for (const role of ROLES) expect(printed).toContain(`\nCREATE ROLE ${role};\n`);
    const settings = "SELECT setconfig FROM pg_db_role_setting";
    expect(await box.ok("runuser", "-u", "postgres", "--", "psql", "-Atc", settings)).toBe(
      "{statement_timeout=1min}\n",
    );
    expect(printed).not.toMatch(/ERROR|WARNING|could not|CREATE ROLE postgres/);
    await restoreDatabase("main/odd name %", "r2, with curl");
    // The database that every new server has.
    await restoreDatabase("main/postgres", "disk, with cp");
  });

  test.each(["disk, with cp", "r2, with curl"])(
    "with globals and in several streams everything is as it was: from %s",
    async (way) => {
      await startAnew();
      page = await box.ok("cat", `${KIT}/recovery-kit.md`);
      await box.sh("install -d -o postgres -g postgres -m 0700 /srv/fast");
      const printed = await restore("main (globals)", way);
      expect(printed).toContain("\nCREATE TABLESPACE fast ");
      expect(printed.match(/^.*(ERROR|WARNING).*$/gm)).toEqual([
        expect.stringMatching(/ERROR: +role "postgres" already exists$/),
      ]);
      expect(printed).toEndWith("\nroles\n");
      const app = await restoreDatabase("main/app", way, "app in streams");
      expect(app).toContain("\ntables\nrows\nrestored\n");
      // Made before the dumps had several streams: the same commands open it.
      const odd = await restoreDatabase("main/odd name %", way);
      const postgres = await restoreDatabase("main/postgres", way);
      expect(app + odd + postgres).not.toMatch(/ERROR|WARNING|could not/);
      expect(await globals()).toBe(globalsBefore);
    },
  );

  test("a step that fails ends the restore of a backup in several streams", async () => {
    await startAnew();
    const put = `cp ${KIT}/unseal.py . && cp /root/from-the-safe.txt identity.txt`;
    const open = below("Open and restore main/app").replace(/^if \[ -d [\s\S]*$/m, "");
    await follow(below("Prepare a fresh Debian"), put, below("main/app from disk, with cp"), open);
    await sql("postgres", ...ROLES.map((role) => `CREATE ROLE ${role}`));
    await box.sh("cd /root/recovery && truncate -s 100 $(ls -d */data*.dump | head -n 1)");
    const rest = below("Open and restore main/app").slice(open.length);
    await box.write("/root/steps.sh", `cd /root/recovery\n${rest}`);
    const { stdout } = await box.run("bash", "/root/steps.sh");
    expect(stdout).toBe("tables\n");
  });

  test("its other ways to fetch lead to the same object", async () => {
    const prepare = below("Prepare a fresh Debian");
    const check = below("Open and restore main/odd name %").split("\n")[0] ?? "";
    await box.sh("rm -rf /root/recovery");
    expect(await follow(prepare, below("main/odd name % from r2, with rclone"), check)).toContain(": OK\n");
    const listed = await follow(prepare, below("Backups that are newer than this kit"));
    expect(listed.match(/^backup_app_.*\.dump\.zst\.enc$/gm)).toHaveLength(4);
    expect(listed.match(/^backup_\d.*\.globals\.zst\.enc$/gm)).toHaveLength(6);
    // awscli is large: its command is only parsed, by a program that shows its arguments.
    await box.write("/usr/local/bin/aws", '#!/bin/sh\nprintf "%s|" "$AWS_ACCESS_KEY_ID" "$@"\n', 0o755);
    const said = await follow(prepare, below("main/odd name % from r2, with aws"));
    expect(said).toMatch(
      new RegExp(
        `${s3.access_key_id}\\|--endpoint-url\\|${s3.endpoint}\\|--region\\|${s3.region}\\|s3\\|cp\\|s3://[^|]*/pg321/main/odd%20name%20%25/backup_odd%20name%20%25_[^|/]*\\.enc\\|backup_odd[^|/]*\\.enc\\|`,
      ),
    );
  });

  test("the catalog comes back from its own backup, and the backups made later from the storages", async () => {
    await startAnew();
    page = await box.ok("cat", `${KIT}/recovery-kit.md`);
    const objects = async () => await box.sh("cd /srv/backups && find . -type f | sort");
    const before = await objects();
    const put = `cp ${KIT}/unseal.py . && cp /root/from-the-safe.txt identity.txt`;
    const fetched = below("The catalog from r2");
    const file = async (way: string) =>
      (
        await follow(
          below("Prepare a fresh Debian"),
          below(way),
          'sha256sum "$manifest" "$(basename "$manifest" .json)"',
        )
      )
        .split("\n")
        .filter((line) => line.includes("backup_pg321_"));
    expect(await file("The catalog from disk")).toHaveLength(2);
    expect(await file("The catalog from disk")).toEqual(await file("The catalog from r2"));
    const printed = await follow(
      below("Prepare a fresh Debian"),
      put,
      fetched,
      below("Open and restore the catalog"),
    );
    expect(printed).toContain(".dump.zst.enc: OK\n");
    expect(printed).toContain("\nopened\n");
    expect(printed).toEndWith("\nrestored\n");
    await box.ok("mkdir", "-p", "/opt/pg321");
    await unpack(box, await executable.present());
    await box.sh(
      `cp -a /root/saved-etc /etc/pg321; cp -a /root/saved-state /var/lib/pg321; ${UNPACKED} install`,
    );
    const listed = async () => JSON.parse(await box.ok("pg321", "list", "--json")).backups;
    const own = ({ database }: { database: string }) => database === "pg321";
    // What was under way in its own backup.
    expect((await listed()).find(own).status).toMatch(/^(RUNNING|INTERRUPTED)$/);
    const [later] = catalogBefore.filter(({ database }) => database === "odd name %");
    expect((await listed()).map(({ id }: { id: string }) => id)).not.toContain(later.id);
    await follow(below("Let pg321 use the catalog"));
    const ids = (backups: { id: string; status: string }[]) =>
      backups.map(({ id, status }) => `${id} ${status}`).sort();
    expect(ids(await listed())).toEqual(ids(catalogBefore));
    expect(await objects()).toBe(before);
    await box.ok("pg321", "verify", "--all");
    await box.ok(
      "pg321",
      "restore",
      "latest",
      "-d",
      "odd name %",
      "--create",
      "--target",
      "main/again",
      "--as",
      "postgres",
    );
    await box.ok("pg321", "backup", "pg321");
    expect(await objects()).toContain(before.trim().split("\n").at(-1) ?? "");
  });
});
