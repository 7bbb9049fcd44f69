import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { DeleteObjectsCommand, ListObjectsV2Command, PutObjectCommand } from "@aws-sdk/client-s3";
import { contentsOf } from "../../lab/data/compare-databases.ts";
import { blocksBelow, commandsOf } from "../../lab/documented-commands.ts";
import { useExecutable } from "../../lab/machine/executable.ts";
import {
  boxStorage,
  CONFIG,
  connectIn,
  credentialStorage,
  serviceConfig,
  startInstalledBox,
  startPostgresIn,
  unpack,
} from "../../lab/machine/installed-box.ts";
import type { BoxEnded, SystemdBox } from "../../lab/machine/systemd-box.ts";
import { noBoxReason } from "../../lab/machine/systemd-box.ts";
import type { S3Lab } from "../../lab/servers/s3.ts";
import { rgw } from "../../lab/servers/s3.ts";

/*
 * docs/recovery.md, word for word: each accident really happens on a host as Debian sets it up, the commands of its
 * section run in their order, and everything is as before. Packages are not installed, and the passphrase of the export
 * comes from a file.
 */

const ROOT = join(import.meta.dir, "../../..");
const PAGE = await Bun.file(join(ROOT, "docs/recovery.md")).text();
const DISK = "/srv/backups";
/** Where the person stands: the executable, the export and the other files that a section names are here. */
const HERE = "/opt/pg321";

const OBJECTS = `
  CREATE TABLE orders (id serial PRIMARY KEY, customer text NOT NULL, size int GENERATED ALWAYS AS (length(customer)) STORED);
  CREATE TABLE item (id int PRIMARY KEY, order_id int CONSTRAINT item_order REFERENCES orders);
  CREATE INDEX orders_customer ON orders (customer); CREATE VIEW totals AS SELECT customer, count(*) AS n FROM orders GROUP BY 1;
  CREATE SCHEMA shop; CREATE TABLE shop.price (id int PRIMARY KEY, cents int); CREATE VIEW prices AS SELECT id FROM shop.price;
  INSERT INTO orders (customer) SELECT 'c' || n FROM generate_series(1, 1000) AS n;
  INSERT INTO item SELECT n, n FROM generate_series(1, 100) AS n; INSERT INTO shop.price SELECT n, n FROM generate_series(1, 50) AS n;
  COMMENT ON TABLE orders IS 'all of them'; COMMENT ON SCHEMA shop IS 'the shop';
  ALTER TABLE orders OWNER TO app_owner; ALTER SCHEMA shop OWNER TO app_owner;
  GRANT SELECT ON orders, shop.price TO "App Reader"; GRANT USAGE ON SCHEMA shop TO "App Reader";
  GRANT UPDATE (customer) ON orders TO "App Reader" WITH GRANT OPTION`;

setDefaultTimeout(120_000);
const executable = useExecutable();
const why = noBoxReason ?? (Bun.which("sudo") === null ? "sudo not found: apt-get install sudo" : undefined);
let box: SystemdBox;
let s3: S3Lab;
let bucket: string;
let before: ReadonlyMap<string, string>;

async function sql(database: string, statements: string): Promise<void> {
  await using connection = await connectIn(box, database);
  for (const statement of statements.split(";\n")) await connection.unsafe(statement).simple();
}

async function facts(database: string): Promise<ReadonlyMap<string, string>> {
  await using connection = await connectIn(box, database);
  return (await contentsOf(connection)).facts;
}

/** The commands of a section, in their order. */
function commandsBelow(heading: string): string[] {
  return blocksBelow(PAGE, heading, ["sh"])
    .flatMap(commandsOf)
    .filter((command) => !command.startsWith("apt-get "));
}

const shell = (command: string) => box.run("env", "-C", HERE, "bash", "-o", "pipefail", "-c", command);

/**
 * Runs the commands of a section; those that must not end with 0 are named by a part of them. `before`: the subsection at
 * its end, which is not followed.
 */
async function follow(
  heading: string,
  {
    exits = {},
    change = (command) => command,
    before: subsection,
  }: { exits?: Record<string, number>; change?: (command: string) => string; before?: string } = {},
): Promise<BoxEnded[]> {
  const all: BoxEnded[] = [];
  const left = subsection === undefined ? 0 : commandsBelow(subsection).length;
  const commands = commandsBelow(heading);
  for (const command of commands.slice(0, commands.length - left).map(change)) {
    const ended = await shell(command);
    const expected = Object.entries(exits).find(([part]) => command.includes(part))?.[1] ?? 0;
    expect({ command, ...ended }).toMatchObject({ exitCode: expected });
    all.push(ended);
  }
  return all;
}

const isAsBefore = async (database = "app") => expect(await facts(database)).toEqual(before);
const backupJson = async () => JSON.parse(await box.ok("pg321", "list", "--json")).backups;

describe.skipIf(why !== undefined)(`the worst night${why ? `: ${why}` : ""}`, () => {
  beforeAll(async () => {
    const [installed, lab] = await Promise.all([startInstalledBox(await executable.present()), rgw()]);
    [box, s3] = [installed.box, lab];
    bucket = await s3.makeBucket();
    const storages = [boxStorage("disk", DISK), await credentialStorage(box, "r2", s3, bucket)];
    const more = '[schedule]\nbackup = "off"\n[http]\nlisten = "unix:/run/pg321/http.sock"';
    const { recipient } = installed;
    await box.write(
      CONFIG,
      serviceConfig({ recipient, databases: ["app", "billing"], storages, more, globals: true }),
    );
    await box.write("/opt/pg321/phrase", "correct horse battery\n", 0o600);
    await box.sh(
      `chgrp pg321 /etc/pg321/identity.txt ${CONFIG}; chmod 0640 /etc/pg321/identity.txt ${CONFIG}; ${HERE}/pg321 install`,
    );
    await sql(
      "postgres",
      'CREATE ROLE app_owner;\nCREATE ROLE "App Reader";\nCREATE DATABASE app;\nCREATE DATABASE billing',
    );
    await sql("app", OBJECTS);
    await sql("billing", "CREATE TABLE invoice AS SELECT 1 AS id");
    await box.ok("pg321", "backup");
    await box.ok(
      "pg321",
      "export-keys",
      `${HERE}/pg321-host-2026-11-23.age`,
      "--passphrase-file",
      `${HERE}/phrase`,
    );
    before = await facts("app");
  }, 180_000);
  afterAll(() => box?.[Symbol.asyncDispose]());

  test("rows were deleted, or changed", async () => {
    await sql("app", "DELETE FROM orders WHERE id > 500");
    const deleted = await follow("Rows were deleted or changed");
    expect(deleted[1]?.stdout).toEndWith("INSERT 0 500\n");
    await isAsBefore();
    await sql("app", "UPDATE orders SET customer = 'x' WHERE id <= 7");
    const [, update = ""] = /with `(ON CONFLICT \(id\) DO UPDATE .*?)`/.exec(PAGE) ?? [];
    await follow("Rows were deleted or changed", {
      change: (command) => command.replace("ON CONFLICT DO NOTHING", update),
    });
    await isAsBefore();
  });

  test("a table was dropped, with its dependents", async () => {
    await sql("app", "DROP TABLE orders CASCADE");
    const [dry, done] = await follow("A table was dropped");
    expect(dry?.stdout).toContain("missing view public.totals");
    expect(dry?.stdout).toContain("missing foreign key public.item item_order");
    const statements = /^ALTER TABLE .*?;$/ms.exec(done?.stdout ?? "")?.[0] ?? "";
    await box.ok("sudo", "-u", "postgres", "psql", "-d", "app", "-v", "ON_ERROR_STOP=1", "-c", statements);
    await isAsBefore();
    const checked = await shell(commandsBelow("A table was dropped")[0] ?? "");
    expect(checked).toMatchObject({ exitCode: 10, stdout: expect.stringContaining("orders already exists") });
    await sql(
      "app",
      "INSERT INTO orders (customer) VALUES ('one more');\nDELETE FROM orders WHERE id > 1000;\nSELECT setval('orders_id_seq', 1000)",
    );
  });

  test("a schema was dropped", async () => {
    await sql("app", "DROP SCHEMA shop CASCADE");
    const [, done] = await follow("A schema was dropped");
    const [, words = ""] = /^to restore these too, add: (.*)$/m.exec(done?.stdout ?? "") ?? [];
    expect(words).toBe("--table prices");
    const again = `sudo pg321 restore latest -d app ${words} --into-existing --target main/app --as postgres`;
    expect(await shell(again)).toMatchObject({ exitCode: 0 });
    await isAsBefore();
  });

  test("a database holds wrong data", async () => {
    await sql("app", "UPDATE shop.price SET cents = 0");
    await follow("A database holds wrong data");
    await isAsBefore();
    const [, drop = ""] = /`(sudo -u postgres dropdb app_broken)`/.exec(PAGE) ?? [];
    expect(await shell(drop)).toMatchObject({ exitCode: 0 });
  });

  test("a database was dropped", async () => {
    await sql("postgres", "DROP DATABASE app");
    await follow("A database was dropped");
    await isAsBefore();
  });

  test("the server is lost", async () => {
    await box.sh("systemctl stop postgresql-test; rm -rf /srv/postgres");
    await startPostgresIn(box);
    const ended = await follow("The server is lost");
    expect(ended.map(({ stdout }) => stdout).join("")).not.toContain("FAILED");
    await isAsBefore();
    expect(await facts("billing")).not.toEqual(new Map());
  });

  test("the host is lost, and its disk of backups with it", async () => {
    await box.sh(`rm -rf /etc/pg321 /var/lib/pg321 /usr/local/bin/pg321 ${DISK} /etc/systemd/system/pg321.service*
      systemctl daemon-reload; userdel pg321`);
    await unpack(box, await executable.present());
    await follow("The host is lost", {
      exits: { "--dry-run": 0, "restore-host pg321-host-2026-11-23.age": 3 },
      change: (command) =>
        command.replace(
          "restore-host pg321-host-2026-11-23.age",
          "restore-host pg321-host-2026-11-23.age --passphrase-file phrase",
        ),
    });
    expect(await box.ok("systemctl", "is-active", "pg321")).toBe("active\n");
    const { copies } = JSON.parse(await box.ok("pg321", "verify", "--all", "--json"));
    const storages = new Set(copies.map(({ storage }: { storage: string }) => storage));
    expect(storages).toEqual(new Set(["disk", "r2"]));
  });

  test("a disk of backups is replaced by an empty one", async () => {
    await box.sh(`rm -rf ${DISK}/* ${DISK}/.[a-z]*`);
    await follow("A storage is left out", { exits: { "verify --all": 14 } });
    await box.ok("pg321", "verify", "--all");
  });

  test("a bucket is held for ransom", async () => {
    const { Contents = [] } = await s3.client.send(new ListObjectsV2Command({ Bucket: bucket }));
    for (const { Key } of Contents)
      await s3.client.send(new PutObjectCommand({ Bucket: bucket, Key, Body: "pay, or never see it again" }));
    const marker = [{ Key: "pg321-storage.json" }];
    await s3.client.send(new DeleteObjectsCommand({ Bucket: bucket, Delete: { Objects: marker } }));
    const clean = await s3.makeBucket();
    await follow("A bucket is held for ransom", {
      exits: { "verify --all --storage r2": 14 },
      change: (command) =>
        command.includes("systemctl restart")
          ? `sed -i 's/"${bucket}"/"${clean}"/' ${CONFIG}; ${command}`
          : command,
    });
    await isAsBefore("app_restored");
    await sql("postgres", "DROP DATABASE app_restored");
    expect(new Set((await backupJson()).map(({ status }: { status: string }) => status))).toEqual(
      new Set(["VERIFIED"]),
    );
  });

  test("the catalog is lost", async () => {
    const count = (await backupJson()).length;
    await box.sh("systemctl stop pg321; rm /var/lib/pg321/catalog.db*");
    await follow("The catalog is lost");
    expect(await backupJson()).toHaveLength(count);
  });

  test("another way into the server: a pipe into stock pg_restore", async () => {
    const [, piped] = await follow("Another server, or a password");
    expect(piped?.stdout).toEndWith("restored\n");
    await isAsBefore("app_restored");
    await sql("postgres", "DROP DATABASE app_restored");
  });

  test("only a file and the identity on paper are left; then without pg321", async () => {
    const name = /backup_app_\d+_\d+_[0-9a-f]{8}\.dump\.zst\.enc/;
    await box.sh(`printf '[dump]\\njobs = 2\\n' >>${CONFIG}; pg321 backup app`);
    const all = await box.sh(`cd ${DISK}/main/app && ls backup_app_*.enc && cp backup_app_*.enc ${HERE}`);
    const [file = "", ...later] = all.trim().split("\n");
    const several = later.at(-1) ?? "";
    expect(await box.sh(`head -n 1 ${HERE}/${several}`)).toBe("pg321 sealed 2\n");
    const identity = await box.sh("grep -E '^(AGE-SECRET-KEY-1|# signer: )' /etc/pg321/identity.txt");
    await sql(
      "postgres",
      'DROP DATABASE app WITH (FORCE);\nDROP DATABASE billing;\nDROP ROLE app_owner;\nDROP ROLE "App Reader"',
    );
    await box.sh("rm -rf /etc/pg321 /var/lib/pg321");
    const change = (command: string) => command.replace(name, file);

    const [show = ""] = commandsBelow("Only the file and the identity are left");
    await box.write(
      `${HERE}/identity.txt`,
      identity.replace(/(AGE-SECRET-KEY-1.{20})(.)/, (_, start, one) => `${start}${one === "Q" ? "P" : "Q"}`),
      0o600,
    );
    expect(await shell(show)).toMatchObject({ exitCode: 12 });
    // Without its second line nobody knows who made the backup.
    const secret = identity.split("\n").find((line) => line.startsWith("AGE-SECRET-KEY-1"));
    await box.write(`${HERE}/identity.txt`, `${secret}\n`, 0o600);
    const unsigned = await shell(`pg321 unseal ${file} -i identity.txt | wc -c`);
    expect(unsigned).toMatchObject({
      exitCode: 12,
      stdout: "0\n",
      stderr: expect.stringContaining("which is not a trusted signer\nhint: "),
    });
    await box.write(`${HERE}/identity.txt`, identity, 0o600);
    const [, opened, , , restored] = await follow("Only the file and the identity are left", {
      change,
      before: "Several archives",
    });
    expect([opened?.stdout, restored?.stdout]).toEqual(["complete\n", "restored\n"]);
    await isAsBefore("app_restored");
    await sql("postgres", "DROP DATABASE app_restored");
    const steps = await follow("Several archives", { change: (command) => command.replace(name, several) });
    expect(steps.map(({ stdout }) => stdout).join("")).toBe("complete\ntables\nrows\nrestored\n");
    await isAsBefore("app_restored");

    await box.write(`${HERE}/unseal.py`, await Bun.file(join(ROOT, "contrib/unseal.py")).text(), 0o755);
    const plain = await box.sh(
      `cd ${HERE}; mv app.dump first.dump; rm pg321 /usr/local/bin/pg321; echo moved`,
    );
    expect(plain).toBe("moved\n");
    const [again] = await follow("pg321 itself is gone", { change });
    expect(again?.stdout).toBe("complete\n");
    await box.sh(`cmp ${HERE}/first.dump ${HERE}/app.dump`);
  });
});
