import { copyFile, mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { output, type Release, toolEnvironment } from "./commit.ts";
import { afterInstall, type PackagedFile, source, ZSH_FUNCTIONS } from "./contents.ts";
import { stage } from "./stage.ts";

export interface RpmOptions {
  release: Release;
  /** RPM's name of the architecture. */
  architecture: string;
  files: readonly PackagedFile[];
  out: string;
}

/** The directories that no other package has. */
function ownDirectories(files: readonly PackagedFile[]): string[] {
  const all = files.map(({ path }) => dirname(path)).filter((path) => path.includes("/pg321"));
  return [...new Set(["/usr/share/doc/pg321", ...all])].map((path) => `%dir ${path}`);
}

/** Builds the RPM package at `out`. The same options and version of rpm give the same bytes. */
export async function buildRpm(options: RpmOptions): Promise<void> {
  const { release, architecture, out } = options;
  const directory = await mkdtemp(join(tmpdir(), "pg321-rpm-"));
  const files = options.files.map((file) => ({
    ...file,
    path: file.path.replace(ZSH_FUNCTIONS, "/usr/share/zsh/site-functions"),
  }));
  try {
    const staged = join(directory, "staged");
    await stage(staged, files, release.epoch);
    const listed = files.map(({ path, mode }) => `%attr(0${mode.toString(8)}, root, root) ${path}`);
    const fields: Record<string, string> = {
      VERSION: release.version.replace("-", "~"),
      MAINTAINER: release.maintainer,
      STAGE: staged,
      AFTER_INSTALL: (await afterInstall()).trimEnd().replaceAll("%", "%%"),
      FILES: [...ownDirectories(files), ...listed].sort().join("\n"),
    };
    const spec = join(directory, "pg321.spec");
    const text = await source("packaging/rpm/pg321.spec").text();
    await Bun.write(
      spec,
      text.replace(/@([A-Z_]+)@/g, (_, name: string) => fields[name] ?? ""),
    );
    await output(
      [
        ...["rpmbuild", "-bb", "--quiet", "--target", `${architecture}-linux`],
        ...["--define", `_topdir ${directory}`, "--define", "_rpmdir %{_topdir}/out"],
        ...["--define", `_dbpath ${directory}/db`, "--define", "_docdir /usr/share/doc", spec],
      ],
      { env: toolEnvironment(release) },
    );
    const built = (await readdir(join(directory, "out"), { recursive: true })).find((name) =>
      name.endsWith(".rpm"),
    );
    if (built === undefined) throw new Error("rpmbuild made no package");
    await copyFile(join(directory, "out", built), out);
  } finally {
    await rm(directory, { recursive: true });
  }
}
