import { beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdir, open, rm, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Installation, localStorage } from "../lab/installation.ts";
import { mountTmpfs } from "../lab/machine/mounts.ts";
import { usePostgres } from "../lab/servers/use-postgres.ts";

setDefaultTimeout(120_000);

const postgres = usePostgres();
let app: string;

beforeAll(async () => {
  app = await postgres.createDatabase();
  await postgres.connect(app).unsafe("create table t as select generate_series(1, 100) as n");
});

function make(): Promise<Installation> {
  return Installation.make({
    postgres: postgres.address,
    databases: [app],
    storages: (directory) => [localStorage("disk", directory)],
  });
}

/** Writes until not one byte more fits. */
async function fill(path: string): Promise<void> {
  await using file = await open(path, "w");
  for (let bytes = 1024 * 1024; bytes >= 1; bytes = Math.floor(bytes / 16)) {
    for (;;) {
      const { bytesWritten } = await file.write(Buffer.alloc(bytes)).catch(() => ({ bytesWritten: 0 }));
      if (bytesWritten < bytes) break;
    }
  }
}

// Skipped where the user may not mount; CI runs as root.
describe.skipIf(process.getuid?.() !== 0)("a catalog on a full disk", () => {
  // As a clean end leaves it, and as a running daemon or a killed one does: then SQLite's index is there already.
  test.each(["alone", "with its log beside it"])(
    "%s is read, and backups are restored from it",
    async (how) => {
      await using installation = await make();
      const state = join(installation.directory, "state");
      await mkdir(state, { recursive: true });
      await using _mount = await mountTmpfs(state, 4);
      await installation.ok("backup");
      await using beside = new AsyncDisposableStack();
      if (how !== "alone") {
        const reader = Bun.spawn(
          [
            process.execPath,
            "-e",
            `
          const { Database } = require("bun:sqlite");
          const database = new Database(process.argv[1]);
          database.run("create table if not exists beside (n)");
          database.query("select count(*) from backups").get();
          console.log("open");
          setInterval(() => {}, 1000);
        `,
            join(state, "catalog.db"),
          ],
          { stdio: ["ignore", "pipe", "inherit"] },
        );
        beside.defer(async () => {
          reader.kill("SIGKILL");
          await reader.exited;
        });
        await reader.stdout.getReader().read();
      }
      await fill(join(state, "filler"));

      const [backup] = (await installation.ok("list", "--json")).json.backups;
      expect(backup.status).toBe("VERIFIED");
      expect((await installation.ok("show", backup.id)).stdout).toContain(backup.object_key);
      expect((await installation.ok("status", "--json")).json.databases).toMatchObject([{ database: app }]);
      const dump = join(installation.directory, "dump");
      await installation.ok("restore", "latest", "-d", app, "--output", dump);
      expect(await Bun.file(dump).slice(0, 5).text()).toBe("PGDMP");
      const restored = `${app}_${how === "alone" ? "a" : "b"}`;
      postgres.dropAtEnd(restored);
      const { stderr } = await installation.ok(
        "restore",
        "latest",
        "-d",
        app,
        "--target",
        `main/${restored}`,
        "--create",
      );
      expect(stderr).toContain("this run is not recorded");
      expect(stderr).toContain("the disk is full");
      expect(await postgres.connect(restored)`select count(*)::int from t`).toMatchObject([{ count: 100 }]);

      const failed = await installation.run("backup");
      expect(failed.exitCode).toBe(13);
      expect(failed.stderr).toContain("the disk is full");

      await rm(join(state, "filler"));
      await installation.ok("backup");
      expect((await installation.ok("list", "--json")).json.backups).toHaveLength(2);
    },
  );

  test("that went read-only is read, and backups are restored from it", async () => {
    await using installation = await make();
    const state = join(installation.directory, "state");
    await mkdir(state, { recursive: true });
    await using _mount = await mountTmpfs(state, 4);
    await installation.ok("backup");
    expect(Bun.spawnSync(["mount", "-o", "remount,ro", state]).exitCode).toBe(0);
    expect((await installation.ok("list", "--json")).json.backups).toMatchObject([{ status: "VERIFIED" }]);
    await installation.ok("restore", "latest", "-d", app, "--output", join(installation.directory, "dump"));
    const failed = await installation.run("backup");
    expect(failed.exitCode).toBe(13);
    expect(failed.stderr).toContain("the file system is read-only");
  });
});

describe("a catalog that was lost", () => {
  test("to an empty file is not mistaken for a new one", async () => {
    await using installation = await make();
    await installation.ok("backup");
    const catalog = join(installation.directory, "state/catalog.db");
    await truncate(catalog);
    for (const words of [["backup"], ["list"], ["status"], ["cleanup", "--adopt"], ["doctor"]]) {
      const { exitCode, stdout, stderr } = await installation.run(...words);
      expect(exitCode).toBe(13);
      expect(stdout + stderr).toContain("the file is empty");
      expect(stdout + stderr).toContain("cleanup --adopt");
    }
    await rm(catalog);
    await installation.ok("cleanup", "--adopt");
    expect((await installation.ok("list", "--json")).json.backups).toHaveLength(1);
  });

  test.each([
    ["overwritten", (bytes: Buffer) => bytes.fill(0x55, 0, 100), "not a SQLite database"],
    ["damaged inside", (bytes: Buffer) => bytes.fill(0x55, 4096), "the file is damaged"],
  ])("and is %s names the way back", async (_, damage, why) => {
    await using installation = await make();
    await installation.ok("backup");
    const catalog = join(installation.directory, "state/catalog.db");
    const bytes = Buffer.from(await Bun.file(catalog).bytes());
    damage(bytes);
    await writeFile(catalog, bytes);
    const { exitCode, stderr } = await installation.run("list");
    expect(exitCode).toBe(13);
    expect(stderr).toContain(why);
    expect(stderr).toContain("pg321 cleanup --adopt");
  });

  test("whole is missed by list, which names the way back", async () => {
    await using installation = await make();
    await installation.ok("backup");
    await rm(join(installation.directory, "state/catalog.db"));
    const { stdout, stderr } = await installation.ok("list");
    expect(stdout).toBe("no backups\n");
    expect(stderr).toContain("pg321 cleanup --adopt");
  });
});
