import { afterAll } from "bun:test";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build, EXECUTABLE } from "../../../scripts/build.ts";

export interface ExecutableForTests {
  /** The executable that the runner has just built; a file that runs alone builds its own. */
  present(): Promise<string>;
  /** An executable with another version: `pg321 9.9.9 (0ld)`. */
  as(version: string): Promise<string>;
}

/** The executables of a test file; those that it built are removed after its last test. */
export function useExecutable(): ExecutableForTests {
  const directories: string[] = [];
  let present: Promise<string> | undefined;
  const make = async (as?: { version: string; commit: string }) => {
    const directory = await mkdtemp(join(tmpdir(), "pg321-executable-"));
    directories.push(directory);
    await build(join(directory, "pg321"), as);
    return join(directory, "pg321");
  };
  afterAll(async () => {
    for (const directory of directories) await rm(directory, { recursive: true });
  });
  return {
    present() {
      const isBuilt = process.env["PG321_TEST_POSTGRES"] !== undefined && existsSync(EXECUTABLE);
      present ??= isBuilt ? Promise.resolve(EXECUTABLE) : make();
      return present;
    },
    as: (version) => make({ version, commit: "0ld" }),
  };
}
