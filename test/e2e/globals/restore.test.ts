import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { DATABASES, fillWholeServer, ROLES, rolesOf } from "../../lab/data/whole-server.ts";
import { Installation, localStorage } from "../../lab/installation.ts";
import { connectTo, disposable, type LabPostgres, startPostgres } from "../../lab/servers/postgres.ts";

/** A server with its roles, restored to another one: one database with the roles that it needs, or all of it. */

setDefaultTimeout(180_000);
let source: LabPostgres;
let target: LabPostgres;
let installation: Installation;
/** The ids of the backups by database. */
let ids: Map<string, string>;

beforeAll(async () => {
  [source, target] = await Promise.all([startPostgres(), startPostgres()]);
  await fillWholeServer(source.address);
  installation = await Installation.make({
    postgres: source.address,
    databases: [...DATABASES].map((name) => `=${name}`),
    storages: (directory) => [localStorage("disk", directory)],
    globals: true,
  });
  const { backups } = (await installation.ok("backup", "--json")).json;
  ids = new Map(backups.map((one: { database: string; backup_id: string }) => [one.database, one.backup_id]));
});
afterAll(async () => {
  await installation?.[Symbol.asyncDispose]();
  await Promise.all([source, target].map((server) => server?.[Symbol.asyncDispose]()));
});

function url(database: string): string {
  const { user, password, port } = target.address;
  return `postgres://${user}:${password}@127.0.0.1:${port}/${encodeURIComponent(database)}`;
}

describe("restore --with-globals", () => {
  const words = () => ["restore", ids.get("app") ?? "", "-t", url("app"), "--create", "--with-globals"];

  test("shows in a dry run what it would create, without passwords, and changes nothing", async () => {
    const plain = await installation.run(
      "restore",
      ids.get("app") ?? "",
      "-t",
      url("app"),
      "--create",
      "--dry-run",
    );
    expect(plain.exitCode).toBe(10);
    const { stdout } = await installation.ok(...words(), "--dry-run");
    expect(stdout).toContain(`CREATE ROLE "app_login" WITH LOGIN CONNECTION LIMIT 9`);
    expect(stdout).toContain("PASSWORD '…'");
    expect(stdout).not.toContain("SCRAM");
    expect(stdout).toContain("nothing prevents the restore");
    expect(await rolesOf(target.address)).toEqual(["postgres"]);
  });

  test("creates what the database needs, changes nothing that exists, and is repeatable", async () => {
    await using admin = disposable(connectTo(target.address, "postgres"));
    await admin.sql.unsafe(`create role "Größe" login connection limit 3`);
    const { json, exitCode } = await installation.run(...words(), "--json");
    expect(exitCode).toBe(3);
    expect(json).toMatchObject({
      outcome: "PARTIAL",
      globals: { skipped: [], without_password: [] },
    });
    // A role of this name exists: it may be another one.
    const reader = `"${ROLES[4]}"`;
    expect(json.globals.refused).toEqual([
      `GRANT ${reader} TO "Größe"; -- "Größe" exists in the target already`,
      `GRANT "pg_monitor" TO "Größe"; -- "Größe" exists in the target already`,
    ]);
    expect(JSON.stringify(json)).not.toContain("7MB");
    // Not: roles that have no part in this database.
    const [unneeded, needed] = [
      ["admin", "nightly", "grantor", "nobody"],
      ROLES.filter((name) => !["admin", "nightly", "grantor", "nobody"].includes(name)),
    ];
    const found = await rolesOf(target.address);
    expect(found.filter((name) => name !== "postgres").toSorted()).toEqual(needed.toSorted());
    expect(found).not.toContainAnyValues(unneeded);
    const [kept] = await admin.sql`select rolconnlimit, rolcanlogin from pg_roles where rolname = 'Größe'`;
    expect(kept).toEqual({ rolconnlimit: 3, rolcanlogin: true });
    const [login] = await admin.sql`
      select rolconnlimit, rolpassword, rolvaliduntil::text from pg_authid where rolname = 'app_login'`;
    expect(login).toMatchObject({ rolconnlimit: 9, rolpassword: expect.stringContaining("SCRAM-SHA-256$") });
    await admin.sql.unsafe("drop database app");
    const still = await installation.run(...words(), "--dry-run");
    expect(still.exitCode).toBe(3);
    expect(still.stdout).toContain("the roles and memberships are incomplete: 2 statements would not be run");
    // The printed statements are all that is missing.
    for (const statement of json.globals.refused) await admin.sql.unsafe(statement);
    const again = await installation.ok(...words(), "--json");
    expect(again.json).toMatchObject({ outcome: "OK", globals: { roles: [], statements: [], refused: [] } });
  });

  test("reads the globals, too, only from the storage of --from", async () => {
    await installation.configure({
      storages: (directory) => [localStorage("disk", directory), localStorage("usb", directory)],
    });
    const { backups } = (await installation.ok("backup", "app", "--json")).json;
    const { backup_id: id } = backups.find(({ database }: { database: string }) => database === "app");
    const folder = join(installation.directory, "usb/main/@globals");
    const [object = ""] = (await readdir(folder)).filter((name) => !name.endsWith(".json"));
    await rm(join(folder, object));
    const more = ["-t", url("other"), "--create", "--with-globals", "--dry-run"];
    await installation.ok("restore", id, ...more, "--from", "disk");
    const refused = await installation.run("restore", id, ...more, "--from", "usb");
    expect(refused.exitCode).not.toBe(0);
    expect(refused.stderr).toContain("@globals");
  });
});
