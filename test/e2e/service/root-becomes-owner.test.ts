import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { chmod, chown, mkdir, mkdtemp, readdir, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findAccount } from "../../../src/base/process/become-user.ts";
import { fillSampleDatabase } from "../../lab/data/sample-database.ts";
import type { Ended } from "../../lab/installation.ts";
import { ended, Installation, localStorage, programWords, s3Storage } from "../../lab/installation.ts";
import { watched } from "../../lab/machine/running.ts";
import { holdAt } from "../../lab/servers/held-requests.ts";
import { startHttpProxy } from "../../lab/servers/http-proxy.ts";
import { rgw } from "../../lab/servers/s3.ts";
import { compareByName, usePostgres } from "../../lab/servers/use-postgres.ts";

const NOBODY = findAccount("nobody");
const isRoot = process.getuid?.() === 0;

const postgres = usePostgres();
let installation: Installation;
let database: string;

/** Like an installation: the service owns state, storages and signing key; root owns config, identity and secrets. */
beforeAll(async () => {
  database = await postgres.createDatabase();
  await fillSampleDatabase(postgres.connect(database));
  installation = await Installation.make({
    postgres: postgres.address,
    databases: [database],
    storages: (directory) => [localStorage("disk", directory)],
  });
  const { directory, configFile } = installation;
  const config = await Bun.file(configFile).text();
  const password = `password = ${JSON.stringify(postgres.address.password)}`;
  await writeFile(configFile, config.replace(password, 'password = { credential = "db" }'));
  await mkdir(join(directory, "credentials"), { mode: 0o700 });
  await writeFile(join(directory, "credentials/db"), postgres.address.password, { mode: 0o600 });
  await chmod(directory, 0o755);
  await mkdir(join(directory, "state"), { mode: 0o700 });
  for (const name of ["state", "disk", "signing.key"])
    if (NOBODY) await chown(join(directory, name), NOBODY.uid, NOBODY.gid);
});
afterAll(() => installation[Symbol.asyncDispose]());

function run(words: readonly string[], cwd = "/"): Promise<Ended> {
  const env = { PATH: process.env["PATH"] ?? "", HOME: "/root", USER: "root", TMPDIR: tmpdir() };
  const child = Bun.spawn([...programWords(), ...words], {
    cwd,
    env: { ...env, PG321_CONFIG: installation.configFile },
    stdio: ["ignore", "pipe", "pipe"],
  });
  return ended(child);
}

async function ok(words: readonly string[], cwd?: string): Promise<Ended> {
  const result = await run(words, cwd);
  if (result.exitCode !== 0) throw new Error(`${words.join(" ")}: ${result.stdout}${result.stderr}`);
  return result;
}

/** The owners of the files in state and storage, and of the directories themselves. */
async function owners(): Promise<number[]> {
  const found = new Set<number>();
  for (const name of ["state", "disk"]) {
    const base = join(installation.directory, name);
    for (const entry of ["", ...(await readdir(base, { recursive: true }))])
      found.add((await stat(join(base, entry))).uid);
  }
  return [...found];
}

function childrenOf(pid: number): string[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ").filter(Boolean);
}

/** A directory that only root can enter, like /root. */
async function rootsOwn(): Promise<AsyncDisposable & { path: string }> {
  const path = await mkdtemp(join(tmpdir(), "pg321-root-"));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true }) };
}

describe.skipIf(!isRoot || !NOBODY)(
  "root, if another user owns the state (only root can switch users)",
  () => {
    test("leaves no file in catalog and storages that the owner could not write to", async () => {
      await using home = await rootsOwn();
      const { stderr, json } = await ok(["backup", "--json", "--log-level", "debug"], home.path);
      expect(json).toMatchObject({ outcome: "OK" });
      expect(stderr).toContain("switched from root to the owner of state_dir user=nobody");
      expect(stderr).not.toContain("could not change directory");
      const [{ backup_id: id }] = json.backups;
      for (const words of [
        ["list"],
        ["show", id],
        ["alerts"],
        ["hold", id],
        ["unhold", id],
        ["verify", id],
        ["repair"],
        ["check"],
        ["key", "show"],
      ])
        await ok(words, home.path);
      expect(await owners()).toEqual([NOBODY?.uid ?? 0]);
      const shown = (await ok(["show", id, "--json"])).json;
      expect(shown.stderr_tail ?? "").not.toContain("could not");
    });

    test("opens backups with an identity and passwords that only root can read", async () => {
      const { directory } = installation;
      const target = `${database}_again`;
      postgres.dropAtEnd(target);
      await ok(["restore", "latest", "-d", database, "--target", `main/${target}`, "--create"]);
      expect(await compareByName(postgres, database, target)).toEqual(
        await compareByName(postgres, database, database),
      );
      const second = `${database}_by_url`;
      postgres.dropAtEnd(second);
      const { user, port } = postgres.address;
      const url = `postgres://${user}@127.0.0.1:${port}/${second}`;
      const passwordFile = join(directory, "credentials/db");
      await ok([
        "restore",
        "latest",
        "-d",
        database,
        "--target",
        url,
        "--password-file",
        passwordFile,
        "--create",
      ]);
      expect(await owners()).toEqual([NOBODY?.uid ?? 0]);
    });

    test("owns the file of --output, in a directory that only root can write to", async () => {
      await using home = await rootsOwn();
      const { stderr } = await ok(["restore", "latest", "-d", database, "--output", "app.dump"], home.path);
      expect(stderr).toContain("wrote ");
      expect(await readdir(home.path)).toEqual(["app.dump"]);
      const { uid, mode, size } = await stat(join(home.path, "app.dump"));
      expect([uid, mode & 0o777, size > 1000]).toEqual([0, 0o600, true]);
      const list = Bun.spawnSync([
        join(postgres.address.bin_dir, "pg_restore"),
        "--list",
        join(home.path, "app.dump"),
      ]);
      expect(list.stdout.toString()).toContain("TABLE DATA");
      expect(await owners()).toEqual([NOBODY?.uid ?? 0]);

      const again = await run(["restore", "latest", "-d", database, "--output", "app.dump"], home.path);
      expect(again).toMatchObject({ exitCode: 2, stderr: expect.stringContaining("exists already") });
      const unknown = await run(["restore", "ffffffff", "--output", "other.dump"], home.path);
      expect(unknown.exitCode).toBe(2);
      expect(unknown.stderr.match(/^error: /gm)).toHaveLength(1);
      expect(await readdir(home.path)).toEqual(["app.dump"]);
    });

    test("on a stop, also stops the second process of --output and leaves no file", async () => {
      await using home = await rootsOwn();
      const lab = await rgw();
      await using proxy = startHttpProxy(lab.endpoint);
      const bucket = await lab.makeBucket();
      await using remote = await Installation.make({
        postgres: postgres.address,
        databases: [database],
        storages: () => [s3Storage("cloud", { ...lab, endpoint: proxy.endpoint }, bucket)],
      });
      await chmod(remote.directory, 0o755);
      await mkdir(join(remote.directory, "state"), { mode: 0o700 });
      for (const name of ["state", "signing.key"])
        if (NOBODY) await chown(join(remote.directory, name), NOBODY.uid, NOBODY.gid);
      await remote.ok("backup");
      const isHeld = holdAt(
        proxy,
        "before",
        ({ method, target }) => method === "GET" && /dump\S*enc/.test(target),
      );
      const output = join(home.path, "app.dump");
      const running = watched(remote.start("restore", "latest", "-d", database, "--output", output));
      await running.until("it reads the backup", isHeld);
      const [child] = childrenOf(running.pid);
      expect(child).toBeDefined();
      running.kill("SIGTERM");
      const { exitCode, stderr } = await running.ended;
      expect(exitCode).toBe(143);
      expect(stderr).toContain("ended by SIGTERM");
      expect(existsSync(`/proc/${child}`)).toBe(false);
      expect(await readdir(home.path)).toEqual([]);
    });

    test("gets a hint about a signing key that the owner cannot read", async () => {
      const file = join(installation.directory, "signing.key");
      await chown(file, 0, 0);
      try {
        expect(await run(["backup"])).toMatchObject({
          exitCode: 12,
          stderr: expect.stringMatching(
            /signing key file .*: user "nobody" cannot read it\nhint: chown nobody \S+ && chmod 0600/,
          ),
        });
      } finally {
        if (NOBODY) await chown(file, NOBODY.uid, NOBODY.gid);
      }
    });

    test("generates keys that belong to the directory's owner", async () => {
      const [identity, key] = [
        join(installation.directory, "k/identity"),
        join(installation.directory, "state/key"),
      ];
      await ok(["key", "generate", "--identity", identity, "--signing-key", key]);
      expect([(await stat(identity)).uid, (await stat(key)).uid]).toEqual([0, NOBODY?.uid ?? 0]);
    });
  },
);
