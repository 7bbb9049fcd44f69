import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { copyFile, mkdir } from "node:fs/promises";
import { join } from "node:path";
import { blocksBelow, commandSpans, commandsOf } from "../../lab/documented-commands.ts";
import { useExecutable } from "../../lab/machine/executable.ts";
import { connectIn, startPostgresIn, startUnpackedBox } from "../../lab/machine/installed-box.ts";
import type { SystemdBox } from "../../lab/machine/systemd-box.ts";
import { noBoxReason } from "../../lab/machine/systemd-box.ts";

/*
 * The first hour of README.md, word for word, as a sysadmin on Debian: `postgres` has no password and logs in by peer
 * authentication, the executable is in a clone's dist. Only the editor is ours: it completes the lines marked FILL IN.
 */

const README = await Bun.file(join(import.meta.dir, "../../../README.md")).text();
const [FIRST = "", AFTER = ""] = blocksBelow(README, "The first hour", ["sh"]);
/** From nothing to a first backup that was restored. */
const COMMANDS_MAX = 6;

const executable = useExecutable();
let box: SystemdBox;

const why =
  noBoxReason ?? (Bun.which("sudoedit") === null ? "sudo not found: apt-get install sudo" : undefined);

describe.skipIf(why !== undefined)(`the first hour${why ? `: ${why}` : ""}`, () => {
  beforeAll(async () => {
    box = await startUnpackedBox(await executable.present(), { hasOwnNetwork: true });
    await startPostgresIn(box);
    await mkdir(box.path("/opt/pg321/dist"));
    await copyFile(box.path("/opt/pg321/pg321"), box.path("/opt/pg321/dist/pg321"));
    await box.write(
      "/opt/editor",
      '#!/bin/sh\nsed -i \'/FILL IN/s|^path = ""|path = "/srv/backups"|\' "$1"\n',
      0o755,
    );
    await box.ok("sudo", "-u", "postgres", "createdb", "app");
    await using sql = await connectIn(box, "app");
    await sql
      .unsafe(`
      CREATE ROLE app_owner; CREATE TABLE orders (id serial PRIMARY KEY, customer text);
      INSERT INTO orders (customer) SELECT 'c' || n FROM generate_series(1, 1000) AS n;
      ALTER TABLE orders OWNER TO app_owner; ALTER TABLE orders ENABLE ROW LEVEL SECURITY;
      SELECT lo_from_bytea(0, 'large');`)
      .simple();
  }, 120_000);
  afterAll(() => box?.[Symbol.asyncDispose]());

  const inClone = (line: string) =>
    box.run("env", "-C", "/opt/pg321", "SUDO_EDITOR=/opt/editor", "bash", "-o", "pipefail", "-c", line);
  const restored = async () => {
    await using sql = await connectIn(box, "app_restored");
    return await sql`SELECT count(*)::int AS rows, pg_get_userbyid(relowner)::text AS owner
      FROM orders, pg_class WHERE pg_class.oid = 'orders'::regclass GROUP BY relowner`;
  };

  test("six commands lead from nothing to a first backup that was restored", async () => {
    const commands = commandsOf(FIRST);
    expect(commands.length).toBeLessThanOrEqual(COMMANDS_MAX);
    for (const command of commands) {
      const { exitCode, stdout, stderr } = await inClone(command);
      expect({ command, exitCode, stdout, stderr }).toMatchObject({ exitCode: 0 });
    }
    expect([...(await restored())]).toEqual([{ rows: 1000, owner: "app_owner" }]);
    expect(await box.ok("systemctl", "is-active", "pg321")).toBe("active\n");
    expect(await box.ok("systemctl", "is-enabled", "pg321")).toBe("enabled\n");
  }, 120_000);

  test("--as opens its way for root and the service's group only, and takes it away even after a kill", async () => {
    expect(await box.sh("ls /run | grep pg321-as || :")).toBe("");
    // The fifo is the stdin that ends with the restore, however that ends.
    const shown = await box.sh(`mkfifo /tmp/restore; touch /tmp/way
      pg321 peer-relay postgres /run/postgresql/.s.PGSQL.5432 $(id -g pg321) </tmp/restore >/tmp/way &
      exec 9>/tmp/restore; until [ -s /tmp/way ]; do :; done; way=$(cat /tmp/way)
      stat -c "%U:%G %a" $way $way/.s.PGSQL.5432
      cd /; setpriv --reuid=pg321 --regid=pg321 --init-groups psql -h $way -U postgres -d postgres -Atc "SELECT session_user"
      setpriv --reuid=65534 --regid=65534 --clear-groups psql -h $way -U postgres -c "" 2>&1 | grep -o "Permission denied" || :
      exec 9>&-; wait; ls /run | grep pg321-as || :`);
    expect(shown.trim().split("\n")).toEqual([
      "root:pg321 710",
      "root:pg321 660",
      "postgres",
      "Permission denied",
    ]);
    const asNobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    const refused = await box.run(...asNobody, "pg321", "peer-relay", "postgres", "/run/x", "0");
    expect(refused).toMatchObject({ exitCode: 2, stderr: 'error: unknown command "peer-relay"\n' });
  });

  test("--as works with several sessions, too", async () => {
    const target = "-d app --create --target main/app_parallel_restored --as postgres";
    const { exitCode, stdout } = await inClone(`sudo pg321 restore ${target} -j 2`);
    expect({ exitCode, stdout }).toMatchObject({
      exitCode: 0,
      stdout: expect.stringContaining("1,000 rows"),
    });
    expect(await box.sh("ls /run | grep pg321-as || :")).toBe("");
  });

  test("the restored database does not join the nightly backup", async () => {
    await box.ok("sudo", "pg321", "backup");
    const { databases } = JSON.parse(await box.ok("pg321", "status", "--json"));
    expect(databases.map(({ database }: { database: string }) => database).sort()).toEqual([
      "app",
      "postgres",
    ]);
  });

  test("a target that does not let the service in names the way that works", async () => {
    const restore = "sudo pg321 restore -d app --create --target";
    const asRole = await inClone(`${restore} postgres://postgres@/app_again`);
    expect(asRole.exitCode).toBe(10);
    expect(asRole.stderr).toMatch(/peer authentication failed[\s\S]*\nhint: .*--as USER/i);
    const asBackupRole = await inClone(`${restore} main/app_again`);
    expect(asBackupRole.exitCode).toBe(10);
    expect(asBackupRole.stderr).toMatch(/\nhint: .*--as postgres/);
    const words: [string, RegExp][] = [
      [`${restore} main/app_again --as nobody-here`, /no such user/],
      [`${restore} postgres://postgres@127.0.0.1/x --as postgres`, /not a unix socket[\s\S]*hint: /],
      [`${restore} main/app_again --as postgres --output -`, /cannot be used with --output/],
    ];
    for (const [line, message] of words)
      expect(await inClone(line)).toMatchObject({ exitCode: 2, stderr: expect.stringMatching(message) });
    expect(await box.sh("ls /run | grep pg321-as || :")).toBe("");
  });

  test("what the README does next works, and doctor finds only what is missing", async () => {
    const [drop = "", doctor = "", ...rest] = commandsOf(AFTER);
    expect(await inClone(drop)).toMatchObject({ exitCode: 0 });
    expect(rest[0]).toBe("sudo pg321 export-keys /root/pg321-host-$(date +%F).age");
    const [, kit = ""] = rest;
    expect(await inClone(kit)).toMatchObject({
      exitCode: 0,
      stdout: expect.stringContaining("recovery-kit.txt"),
    });
    const { exitCode, stdout } = await inClone(`${doctor} --json`);
    const { findings } = JSON.parse(stdout);
    const wrong = findings.filter(({ verdict }: { verdict: string }) => verdict !== "ok");
    expect({ exitCode, wrong: wrong.map(({ subject }: { subject: string }) => subject).sort() }).toEqual({
      exitCode: 0,
      // Neither a second storage, nor a disk of its own, nor a notifier, nor an export is there yet.
      wrong: ["3-2-1", "alerts", "disk", "export-keys"],
    });
    // Check, doctor and install agree that the config is right.
    expect((await box.run("pg321", "check")).stderr).not.toContain("can read");
  });

  test("what the README says about every night and about monitoring can be typed as it stands", async () => {
    const [monitoring = ""] = blocksBelow(README, "Monitor it");
    const commands = [...commandsOf(monitoring), ...commandSpans(README, "Every night")];
    expect(commands.length).toBeGreaterThan(8);
    for (const command of commands) {
      const { exitCode, stdout, stderr } = await inClone(command);
      expect({ command, exitCode, stdout, stderr }).toMatchObject({ exitCode: 0 });
      if (command.startsWith("curl"))
        expect({ command, stdout }).toEqual({ command, stdout: expect.stringMatching(/./) });
    }
    const answer = async (path: string) =>
      await box.ok("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", `http://127.0.0.1:8321${path}`);
    expect([await answer("/status?fail=1"), await answer("/health")]).toEqual(["200", "200"]);
  });
});
