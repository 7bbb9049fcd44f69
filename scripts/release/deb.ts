import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { output, type Release, toolEnvironment } from "./commit.ts";
import { afterInstall, debianFiles, type PackagedFile, source } from "./contents.ts";
import { stage } from "./stage.ts";

export interface DebOptions {
  release: Release;
  /** Debian's name of the architecture. */
  architecture: string;
  files: readonly PackagedFile[];
  out: string;
  /** xz's level; 0 does not compress, for tests that install the package often. */
  level?: number;
}

/** Builds the Debian package at `out`. The same options give the same bytes. */
export async function buildDeb({ release, architecture, files, out, level = 1 }: DebOptions): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), "pg321-deb-"));
  try {
    const all = [...files, ...(await debianFiles(release))];
    await stage(directory, all, release.epoch);
    const bytes = all.map(({ path }) => Bun.file(join(directory, path)).size);
    const fields: Record<string, string> = {
      VERSION: release.version,
      ARCHITECTURE: architecture,
      MAINTAINER: release.maintainer,
      // In KiB, each file rounded up.
      SIZE: String(bytes.reduce((sum, size) => sum + Math.ceil(size / 1024), 0)),
    };
    const control = (await source("packaging/debian/control").text()).replace(
      /@(\w+)@/g,
      (_, name: string) => fields[name] ?? "",
    );
    const scripts = ["postinst", "prerm", "postrm"].map(async (name): Promise<PackagedFile> => {
      const text = await source(`packaging/debian/${name}`).text();
      return {
        path: `/DEBIAN/${name}`,
        mode: 0o755,
        content: text.replace("@AFTER_INSTALL@\n", await afterInstall()),
      };
    });
    await stage(
      directory,
      [
        { path: "/DEBIAN/control", mode: 0o644, content: control },
        { path: "/DEBIAN/md5sums", mode: 0o644, content: await md5sums(directory, all) },
        ...(await Promise.all(scripts)),
      ],
      release.epoch,
    );
    await output(
      // The threads do not change the bytes, but their number would if it were one.
      [
        "dpkg-deb",
        "--root-owner-group",
        ...(level === 0 ? ["-Znone"] : ["-Zxz", `-z${level}`]),
        "--threads-max=2",
        "--build",
        directory,
        out,
      ],
      { env: toolEnvironment(release) },
    );
  } finally {
    await rm(directory, { recursive: true });
  }
}

async function md5sums(directory: string, files: readonly PackagedFile[]): Promise<string> {
  const paths = files.map(({ path }) => path.slice(1)).sort();
  const lines = paths.map(async (path) => {
    const hash = new Bun.CryptoHasher("md5").update(await Bun.file(join(directory, path)).bytes());
    return `${hash.digest("hex")}  ${path}\n`;
  });
  return (await Promise.all(lines)).join("");
}
