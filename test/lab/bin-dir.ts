import { chmod, mkdir, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pgDumpFor, pgRestoreFor } from "../../src/postgres/binaries.ts";

/** A new directory with the real programs, except for those that `scripts` replaces; `REAL` in them is the program. */
export async function binDir(
  parent: string,
  scripts: Partial<Record<"pg_dump" | "pg_restore", string>>,
): Promise<string> {
  const directory = join(parent, crypto.randomUUID());
  await mkdir(directory);
  const real = {
    pg_dump: (await pgDumpFor(15, undefined)).path,
    pg_restore: (await pgRestoreFor(15, "1.14", undefined)).path,
  };
  for (const name of ["pg_dump", "pg_restore"] as const) {
    const path = join(directory, name);
    const script = scripts[name];
    if (script === undefined) await symlink(real[name], path);
    else {
      const version = `if [ "$1" = --version ]; then exec "${real[name]}" --version; fi`;
      await writeFile(path, `#!/bin/bash\n${version}\n${script.replace("REAL", real[name])}\n`);
      await chmod(path, 0o755);
    }
  }
  return directory;
}
