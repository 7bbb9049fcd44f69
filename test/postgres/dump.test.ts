import { describe, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import type { Pg321Error } from "../../src/base/errors.ts";
import { openArchive } from "../../src/postgres/archive/archive.ts";
import { endpointOfUrl } from "../../src/postgres/connection.ts";
import { eventually } from "../lab/machine/running.ts";
import { usePostgres } from "../lab/servers/use-postgres.ts";
import { contentsOfDump, dumpBlocks, dumpToMemory, pieces } from "./dumping.ts";
import { useTempDir } from "./temp-dir.ts";

const lab = usePostgres();
const temp = useTempDir();

/** A database whose dump is far larger than the pipes between server and reader. */
async function largeDatabase(): Promise<string> {
  const name = await lab.createDatabase();
  await lab.connect(
    name,
  )`create table t as select i, repeat(md5(i::text), 30) as text from generate_series(1, 30000) i`;
  return name;
}

/** The processes whose command line or environment contains the text. */
function processesShowing(text: string): string[] {
  return readdirSync("/proc")
    .filter((pid) => /^\d+$/.test(pid) && pid !== String(process.pid))
    .filter((pid) =>
      ["cmdline", "environ"].some((file) => {
        try {
          return readFileSync(`/proc/${pid}/${file}`, "latin1").includes(text);
        } catch {
          return false;
        }
      }),
    );
}

function pgDumpOf(database: string): number | undefined {
  const pid = readdirSync("/proc").find((entry) => {
    try {
      const [program] = readFileSync(`/proc/${entry}/cmdline`, "latin1").split("\0");
      const isPgDump = program?.endsWith("/pg_dump") === true;
      return (
        isPgDump && readFileSync(`/proc/${entry}/environ`, "latin1").includes(`PGDATABASE=${database}\0`)
      );
    } catch {
      return false;
    }
  });
  return pid === undefined ? undefined : Number(pid);
}

const NAMES = [
  "with space",
  'dou"ble',
  "sing'le",
  "a/b",
  "x=y",
  "dot.ted",
  "-dash",
  "back\\slash",
  "Ünïcödé 数据",
].concat(["postgresql://host/db", "percent%20", "a".repeat(63), "new\nline", "*"]);

describe("a database named", () => {
  test.each(NAMES)("%j", async (name) => {
    await lab.createDatabase(name);
    const sql = lab.connect(name);
    await sql`create table "only here" ()`;
    const dump = await dumpToMemory(endpointOfUrl(lab.url(name)), temp.path);
    const { contents } = await openArchive(pieces(dump));
    expect(contents.database).toBe(name);
    expect(
      contents.entries.filter(({ description }) => description === "TABLE").map(({ tag }) => tag),
    ).toEqual(["only here"]);
  });
});

test("during a dump the password is in no process's arguments or environment, and its file is private", async () => {
  const name = await largeDatabase();
  const blocks = dumpBlocks(endpointOfUrl(lab.url(name)), temp.path);
  expect((await blocks.next()).done).toBe(false);
  expect(pgDumpOf(name)).toBeNumber();
  expect(processesShowing(lab.address.password)).toEqual([]);
  const files = readdirSync(temp.path, { recursive: true, withFileTypes: true }).filter((entry) =>
    entry.isFile(),
  );
  const listed = Bun.spawnSync([
    "stat",
    "-c",
    "%a",
    ...files.map((file) => `${file.parentPath}/${file.name}`),
  ]);
  expect(listed.stdout.toString()).toBe("600\n");
  for await (const _ of blocks);
  expect(readdirSync(temp.path)).toEqual([]);
});

test("onExit gets the end of pg_dump's stderr", async () => {
  const results: unknown[] = [];
  const name = await lab.createDatabase();
  await dumpToMemory(endpointOfUrl(lab.url(name)), temp.path, { onExit: (result) => results.push(result) });
  expect(results).toMatchObject([{ stderrTail: "" }]);
});

describe("a dump that fails throws before its end", () => {
  async function failureOf(blocks: AsyncGenerator<Uint8Array>, disturb: () => unknown) {
    expect((await blocks.next()).done).toBe(false);
    await disturb();
    let ended = false;
    try {
      for await (const _ of blocks);
      ended = true;
    } catch (error) {
      return error as Pg321Error;
    } finally {
      expect(ended).toBe(false);
      expect(readdirSync(temp.path)).toEqual([]);
    }
    throw new Error("the dump ended as if it were whole");
  }

  test("pg_dump is killed", async () => {
    const name = await largeDatabase();
    const error = await failureOf(dumpBlocks(endpointOfUrl(lab.url(name)), temp.path), () => {
      process.kill(pgDumpOf(name) as number, "SIGKILL");
    });
    expect(error.message).toBe(`target: dump of database "${name}" failed: pg_dump was killed by SIGKILL`);
    expect(error.code).toBe("database");
  });

  test("the database is dropped", async () => {
    const name = await largeDatabase();
    const admin = lab.connect();
    const error = await failureOf(dumpBlocks(endpointOfUrl(lab.url(name)), temp.path), () =>
      admin.unsafe(`drop database ${name} with (force)`),
    );
    expect(error).toMatchObject({ code: "database", message: expect.stringMatching(/terminat|closed/) });
  });

  test("it is aborted", async () => {
    const name = await largeDatabase();
    const abort = new AbortController();
    const reason = new Error("that will do");
    const error = await failureOf(
      dumpBlocks(endpointOfUrl(lab.url(name)), temp.path, { signal: abort.signal }),
      () => abort.abort(reason),
    );
    expect(error).toBe(reason as Pg321Error);
    expect(pgDumpOf(name)).toBeUndefined();
  });

  test("a table stays locked", async () => {
    const name = await largeDatabase();
    const sql = lab.connect(name);
    await sql.begin(async (transaction) => {
      await transaction`lock table t in access exclusive mode`;
      const dump = dumpToMemory(endpointOfUrl(lab.url(name)), temp.path, { lock_wait_timeout_ms: 50 });
      await expect(dump).rejects.toMatchObject({
        code: "database",
        message: expect.stringContaining("LOCK TABLE"),
        hint: expect.stringContaining("lock_wait_timeout"),
      });
    });
  });
});

test("pg_dump ends if the reader leaves early", async () => {
  const name = await largeDatabase();
  for await (const _ of dumpBlocks(endpointOfUrl(lab.url(name)), temp.path)) break;
  expect(pgDumpOf(name)).toBeUndefined();
  expect(readdirSync(temp.path)).toEqual([]);
});

test("a wait for a lock before pg_dump's first byte is not a stall", async () => {
  const name = await largeDatabase();
  const sql = lab.connect(name);
  const locked = await sql.reserve();
  await locked`begin`;
  await locked`lock table t in access exclusive mode`;
  // Far less than pg_dump waits below.
  const settings = { stall_timeout_ms: 100, lock_wait_timeout_ms: 600_000 };
  const dump = dumpToMemory(endpointOfUrl(lab.url(name)), temp.path, settings);
  const admin = lab.connect();
  await eventually(async () => {
    const waiting =
      await admin`select from pg_stat_activity where datname = ${name} and query like 'LOCK TABLE%'
      and wait_event_type = 'Lock' and clock_timestamp() - query_start > interval '1 second'`;
    return waiting.length > 0;
  });
  await locked`rollback`;
  locked.release();
  expect((await contentsOfDump(await dump)).entries.map(({ tag }) => tag)).toContain("t");
});
