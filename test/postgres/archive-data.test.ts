import { describe, expect, test } from "bun:test";
import { openArchive } from "../../src/postgres/archive/archive.ts";
import { RowCounter, withoutDrops } from "../../src/postgres/archive/data.ts";
import { quoteIdentifier } from "../../src/postgres/archive/sql-text.ts";
import { pgRestoreFor } from "../../src/postgres/binaries.ts";
import { usePostgres } from "../lab/servers/use-postgres.ts";
import { contentsOfDump, pieces } from "./dumping.ts";
import { useSampleDump } from "./sample-dump.ts";
import { useTempDir } from "./temp-dir.ts";

const lab = usePostgres();
const sample = useSampleDump(lab, useTempDir());

describe("the rows in a dump", () => {
  test.each([7, 10_007, 1_000_000])(
    "are counted for each table, in pieces of %d bytes",
    async (pieceBytes) => {
      const contents = await contentsOfDump(sample.dump);
      const counter = new RowCounter(contents);
      for await (const piece of pieces(sample.dump, pieceBytes)) counter.pass(piece);
      const sql = lab.connect(sample.name);
      const tables = contents.entries.filter(({ description }) => description === "TABLE DATA");
      expect(tables.length).toBeGreaterThan(5);
      for (const entry of tables) {
        const table = [entry.namespace ?? "", entry.tag].map(quoteIdentifier).join(".");
        const [row] = await sql.unsafe(`select count(*)::int as count from only ${table}`);
        expect([entry.tag, counter.rowsOf([entry])]).toEqual([entry.tag, row?.["count"] as number]);
      }
    },
  );

  test("are unknown if pg_dump compressed them, or if it is not a dump", async () => {
    const contents = await contentsOfDump(sample.dump);
    const compressed = new RowCounter({ ...contents, isCompressed: true });
    compressed.pass(sample.dump);
    expect(compressed.rowsOf(contents.entries)).toBeUndefined();
    const lost = new RowCounter(contents);
    lost.pass(sample.dump.subarray(0, contents.dataStart));
    lost.pass(Buffer.from("no block of a dump begins so"));
    expect(lost.rowsOf(contents.entries)).toBeUndefined();
  });
});

test("a dump without some of its drop statements is otherwise the same for pg_restore", async () => {
  const { path } = await pgRestoreFor(15, "1.14", undefined);
  // pg_dump writes \restrict with a new key in each run.
  const script = (dump: Uint8Array) => {
    const { stdout } = Bun.spawnSync([path, "--clean", "--file=-"], { stdin: dump });
    return stdout
      .toString()
      .split("\n")
      .filter((line) => !/^\\(un)?restrict /.test(line));
  };
  const isDrop = (line: string) => /^ALTER TABLE .* DROP CONSTRAINT /.test(line);
  const { contents, bytes } = await openArchive(pieces(sample.dump));
  const constraints = contents.entries.filter(({ drop }) => isDrop(drop));
  expect(constraints.length).toBeGreaterThan(3);
  const changed = Buffer.concat(await Array.fromAsync(withoutDrops(bytes, constraints.toReversed())));
  const lines = script(sample.dump);
  expect(lines.filter(isDrop)).toHaveLength(constraints.length);
  expect(script(changed)).toEqual(lines.filter((line) => !isDrop(line)));
});
