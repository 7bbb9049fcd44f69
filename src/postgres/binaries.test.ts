import { afterAll, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { ProgramName } from "./binaries.ts";
import { findBinaries, pgDumpFor, pgRestoreFor } from "./binaries.ts";

const root = mkdtempSync(join(tmpdir(), "pg321-binaries-"));
afterAll(() => rmSync(root, { recursive: true }));

/** A bin_dir glob whose programs report these versions. */
function installed(name: ProgramName, versions: string[]): string {
  const dir = mkdtempSync(join(root, "usr-"));
  for (const version of versions) {
    mkdirSync(join(dir, version, "bin"), { recursive: true });
    const text = `#!/bin/sh\necho '${name} (PostgreSQL) ${version} (Debian ${version}-1)'\n`;
    writeFileSync(join(dir, version, "bin", name), text, { mode: 0o755 });
  }
  return join(dir, "*", "bin");
}

/** Some setups put links into /usr/lib/postgresql. */
test("a version in a linked directory is found", async () => {
  const dir = mkdtempSync(join(root, "linked-"));
  const elsewhere = dirname(dirname(installed("pg_dump", ["16.2"])));
  symlinkSync(join(elsewhere, "16.2"), join(dir, "16"));
  expect(await findBinaries("pg_dump", join(dir, "*", "bin"))).toMatchObject([{ version: "16.2" }]);
});

describe("pg_dump", () => {
  test.each([
    [15, ["14.9", "15.3", "17.0"], "15.3"],
    [16, ["14.9", "15.3", "17.0", "18.1"], "17.0"],
    [18, ["18beta1"], "18beta1"],
  ])("for server %i of %j", async (server, versions, expected) => {
    expect((await pgDumpFor(server, installed("pg_dump", versions))).version).toBe(expected);
  });

  test("is never older than the server", async () => {
    await expect(pgDumpFor(17, installed("pg_dump", ["15.3", "16.1"]))).rejects.toMatchObject({
      code: "database",
      message: "no pg_dump for PostgreSQL 17 (found 15.3, 16.1)",
      hint: expect.stringContaining("apt-get install postgresql-client-17"),
    });
  });

  test("that does not run is skipped", async () => {
    const dir = mkdtempSync(join(root, "broken-"));
    writeFileSync(join(dir, "pg_dump"), "#!/bin/sh\nexit 1\n", { mode: 0o755 });
    expect(await findBinaries("pg_dump", dir)).toEqual([]);
  });
});

describe("pg_restore", () => {
  test.each([
    // target, archive format, installed, expected
    [15, "1.14", ["15.3", "16.1", "17.0"], "15.3"],
    [15, "1.15", ["15.3", "16.1", "17.0"], "16.1"],
    [17, "1.14", ["15.3", "17.0", "18.1"], "17.0"],
    [17, "1.16", ["15.3", "18.1"], "18.1"],
    [18, "1.14", ["15.3"], "15.3"],
    [14, "1.13", ["13.1", "15.3", "17.0"], "15.3"],
  ])("for target %i and format %s of %j", async (target, format, versions, expected) => {
    expect((await pgRestoreFor(target, format, installed("pg_restore", versions))).version).toBe(expected);
  });

  test.each([
    // The nearest that reads it and that the target understands, otherwise one that needs a relay.
    [16, "1.14", ["15.3", "17.0"], "15.3", false],
    [16, "1.16", ["15.3", "17.0", "18.1"], "17.0", true],
    [16, "1.15", ["17.0", "18.1"], "17.0", true],
    [17, "1.16", ["17.0", "18.1"], "17.0", false],
  ])(
    "for target %i and format %s of %j needs a relay or not",
    async (target, format, versions, version, needsRelay) => {
      expect(await pgRestoreFor(target, format, installed("pg_restore", versions))).toMatchObject({
        version,
        needsRelay,
      });
    },
  );

  test("too old for the archive", async () => {
    await expect(pgRestoreFor(17, "1.16", installed("pg_restore", ["15.3"]))).rejects.toMatchObject({
      message: "no pg_restore that reads archive format 1.16 (found 15.3)",
      hint: expect.stringContaining("postgresql-client-17"),
    });
  });
});

test("the installed programs are found, without Debian's wrapper", async () => {
  const found = await findBinaries("pg_dump", undefined);
  expect(found.length).toBeGreaterThan(0);
  expect(found.filter(({ path }) => path.includes("wrapper") || path === "/usr/bin/pg_dump")).toEqual([]);
});
