import { describe, expect, test } from "bun:test";
import { Pg321Error } from "../../src/base/errors.ts";
import { openArchive } from "../../src/postgres/archive/archive.ts";
import { pgRestoreFor } from "../../src/postgres/binaries.ts";
import { usePostgres } from "../lab/servers/use-postgres.ts";
import { contentsOfDump, pieces } from "./dumping.ts";
import { useSampleDump } from "./sample-dump.ts";
import { useTempDir } from "./temp-dir.ts";

const sample = useSampleDump(usePostgres(), useTempDir());

describe("the table of contents", () => {
  test("is the same however the bytes are split, and all bytes are passed on", async () => {
    const whole = await contentsOfDump(sample.dump);
    const head = sample.dump.subarray(0, 200_000);
    for (const pieceBytes of [1, 65_536, sample.dump.length]) {
      const { contents, bytes } = await openArchive(
        pieces(pieceBytes === 1 ? head : sample.dump, pieceBytes),
      );
      expect(contents).toEqual(whole);
      const all = Buffer.concat(await Array.fromAsync(bytes));
      expect(all.equals(pieceBytes === 1 ? head : sample.dump)).toBe(true);
    }
  });

  test("agrees with pg_restore --list", async () => {
    const { path } = await pgRestoreFor(15, "1.14", undefined);
    const listed = Bun.spawnSync([path, "--list"], { stdin: sample.dump }).stdout.toString();
    const lines = listed
      .split("\n")
      .filter((line) => /^\d/.test(line))
      .map((line) => line.replace(/^\d+; \d+ \d+ /, ""));
    const hidden = ["ENCODING", "STDSTRINGS", "SEARCHPATH", "DATABASE", "DATABASE PROPERTIES"];
    const { entries } = await contentsOfDump(sample.dump);
    const ours = entries
      .filter(({ description, tag }) => !hidden.includes(description) && !tag.startsWith("DATABASE "))
      .map(
        ({ description, namespace, tag, owner }) =>
          `${description} ${namespace ?? "-"} ${tag} ${owner ?? ""}`,
      );
    const theirs = lines.filter(
      (line) => !hidden.some((kind) => line.startsWith(`${kind} `)) && !/ DATABASE /.test(line),
    );
    expect(ours.toSorted()).toEqual(theirs.toSorted());
  });

  test.each([
    ["nothing", Buffer.alloc(0), "it ends after 0 bytes"],
    ["something else", Buffer.from("-- PostgreSQL database dump\n"), "signature"],
    ["a tar dump's kind", Buffer.from("PGDMP\x01\x0e\x00\x04\x08\x03", "latin1"), "kind 3"],
    ["a too old one", Buffer.from("PGDMP\x01\x0c\x00\x04\x08\x01", "latin1"), "format 1.12"],
  ])("of %s is refused", async (_, bytes, message) => {
    await expect(openArchive(pieces(bytes))).rejects.toMatchObject({
      code: "verification",
      message: expect.stringContaining(message),
    });
  });

  test("that is truncated is refused", async () => {
    await expect(openArchive(pieces(sample.dump.subarray(0, 5000)))).rejects.toMatchObject({
      code: "verification",
    });
  });

  test("with any byte of its beginning damaged is read or refused, and never crashes", async () => {
    const head = sample.dump.subarray(0, 200_000);
    for (let at = 0; at < 400; at++) {
      const damaged = Buffer.from(head);
      damaged[at] = 0xff;
      const error: unknown = await openArchive(pieces(damaged, 100_000)).then(
        () => undefined,
        (thrown: unknown) => thrown,
      );
      if (error !== undefined) expect(error).toBeInstanceOf(Pg321Error);
    }
  });

  test("closes its source in every case", async () => {
    let closed = 0;
    async function* source(bytes: Uint8Array) {
      try {
        yield* pieces(bytes);
      } finally {
        closed++;
      }
    }
    {
      // Never read, as after a preflight that refuses.
      await using archive = await openArchive(source(sample.dump));
      expect(archive.contents.database).toBe(sample.name);
    }
    expect(closed).toBe(1);
    for await (const _ of (await openArchive(source(sample.dump))).bytes) break;
    expect(closed).toBe(2);
    await openArchive(source(Buffer.alloc(100_000))).catch(() => {});
    expect(closed).toBe(3);
  });
});
