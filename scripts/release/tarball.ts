import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { output, type Release, toolEnvironment } from "./commit.ts";
import type { PackagedFile } from "./contents.ts";
import { stage } from "./stage.ts";

/** The paths of a package's files in a tarball. */
const PLACES: readonly [from: RegExp, to: string][] = [
  [/^\/usr\/bin\//, "/"],
  [/^\/usr\/share\/doc\/pg321\//, "/"],
  [/^\/usr\/share\//, "/share/"],
];

/**
 * Builds the tarball at `out`, with one directory of its name: the executable, which installs itself, and its documents.
 * The same options give the same bytes.
 */
export async function buildTarball(
  files: readonly PackagedFile[],
  { release, out, level = 6 }: { release: Release; out: string; level?: number },
): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), "pg321-tar-"));
  const name = basename(out, ".tar.gz");
  try {
    const kept = files.flatMap((file) => {
      const place = PLACES.find(([from]) => from.test(file.path));
      // The unit is inside the executable, which installs it.
      return place === undefined ? [] : [{ ...file, path: `/${name}${file.path.replace(...place)}` }];
    });
    await stage(directory, kept, release.epoch);
    await output(
      [
        ...["tar", "--create", `--file=${out}`, `--use-compress-program=gzip -n -${level}`],
        ...["--format=gnu", "--sort=name", `--mtime=@${release.epoch}`],
        ...["--owner=0", "--group=0", "--numeric-owner", "--directory", directory, name],
      ],
      { env: toolEnvironment(release) },
    );
  } finally {
    await rm(directory, { recursive: true });
  }
}
