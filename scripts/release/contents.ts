/** The files of a package. What the executable itself prints or needs is made from the same sources. */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { SCRIPTS, SHELLS, type Shell } from "../../src/cli/completion/scripts.ts";
import { PACKAGED_EXECUTABLE, PACKAGED_UNIT } from "../../src/install/packaged.ts";
import { manPages } from "../man.ts";
import { type Release, ReleaseError, ROOT } from "./commit.ts";
import { licenceTexts } from "./licences.ts";

export interface PackagedFile {
  /** Absolute, on the host that it is installed on. */
  path: string;
  mode: 0o644 | 0o755;
  content: string | Uint8Array | Bun.BunFile;
}

const DOC = "/usr/share/doc/pg321";
export const ZSH_FUNCTIONS = "/usr/share/zsh/vendor-completions";
const FOR_MAINTAINERS = ["docs/architecture.md", "docs/releasing.md"];
const UNIT_SOURCE = "systemd/pg321.service";
const UNIT_HEAD =
  "# From the package pg321, which replaces this file at every upgrade: put your own changes in a drop-in";

/** Everything but what only one kind of package has (Debian's changelog, for example). */
export async function packagedFiles(
  executable: string,
  release: Pick<Release, "epoch">,
): Promise<PackagedFile[]> {
  return [
    { path: PACKAGED_EXECUTABLE, mode: 0o755, content: Bun.file(executable) },
    { path: PACKAGED_UNIT, mode: 0o644, content: await packagedUnit() },
    ...(await documents()),
    ...completions(),
    ...(await manualPages(release)),
  ];
}

/** The unit that `install` writes, with the path of the packaged executable. */
async function packagedUnit(): Promise<string> {
  const unit = await source(UNIT_SOURCE).text();
  const packaged = unit
    .replace(/^# Installed by .*$/m, UNIT_HEAD)
    .replaceAll("/usr/local/bin/pg321", PACKAGED_EXECUTABLE);
  if (packaged.includes("/usr/local") || !packaged.startsWith(UNIT_HEAD))
    throw new ReleaseError(`${UNIT_SOURCE}: not the unit that this script knows`, "see packagedUnit");
  return packaged;
}

/** At their paths in the project, so that the links between them work. */
async function documents(): Promise<PackagedFile[]> {
  const pages = await Promise.all(
    ["docs", "monitoring"].map(async (folder) => {
      const names = (await readdir(join(ROOT, folder))).filter(
        (name) => /\.(md|json|ya?ml)$/.test(name) && !name.includes(".test."),
      );
      return names.sort().map((name) => `${folder}/${name}`);
    }),
  );
  const paths = [
    "README.md",
    "config.example.toml",
    "config.schema.json",
    "contrib/unseal.py",
    ...pages.flat(),
  ];
  return [
    ...paths
      .filter((path) => !FOR_MAINTAINERS.includes(path))
      .map((path): PackagedFile => ({ path: `${DOC}/${path}`, mode: 0o644, content: source(path) })),
    packed(`${DOC}/changelog`, await source("CHANGELOG.md").text()),
    packed(`${DOC}/third-party-licences.txt`, await licenceTexts()),
  ];
}

/** Where each shell looks on Debian; `rpm.ts` knows the other place for zsh. */
function completions(): PackagedFile[] {
  const places: Record<Shell, string> = {
    bash: "/usr/share/bash-completion/completions/pg321",
    zsh: `${ZSH_FUNCTIONS}/_pg321`,
    fish: "/usr/share/fish/vendor_completions.d/pg321.fish",
  };
  return SHELLS.map((shell) => ({ path: places[shell], mode: 0o644, content: SCRIPTS[shell] }));
}

/** Their date is that of the commit. */
async function manualPages({ epoch }: Pick<Release, "epoch">): Promise<PackagedFile[]> {
  const pages = await manPages(new Date(epoch * 1000));
  return Object.entries(pages).map(([name, text]) =>
    packed(`/usr/share/man/man${name.at(-1)}/${name}`, text),
  );
}

/** Debian's own changelog and copyright, beside the common documents. */
export async function debianFiles(release: Release): Promise<PackagedFile[]> {
  const date = new Date(release.epoch * 1000).toUTCString().replace("GMT", "+0000");
  const entry = [
    `pg321 (${release.version}-1) stable; urgency=medium`,
    `  * Version ${release.version}; its changes are in changelog.gz.`,
    ` -- ${release.maintainer}  ${date}`,
  ].join("\n\n");
  const licence = (await source("LICENSE").text()).split("\n").slice(4);
  const paragraph = licence.map((line) => (line === "" ? " ." : ` ${line}`)).join("\n");
  const copyright = (await source("packaging/debian/copyright").text()).replace(
    "@LICENCE@",
    paragraph.replace(/(\n \.)+$/, ""),
  );
  return [
    packed(`${DOC}/changelog.Debian`, `${entry}\n`),
    { path: `${DOC}/copyright`, mode: 0o644, content: copyright },
    {
      path: "/usr/share/lintian/overrides/pg321",
      mode: 0o644,
      content: source("packaging/debian/lintian-overrides"),
    },
  ];
}

/** The script that both kinds of package run after their files are in place. */
export function afterInstall(): Promise<string> {
  return source("packaging/after-install.sh").text();
}

export function source(path: string): Bun.BunFile {
  return Bun.file(join(ROOT, path));
}

/** Compressed without name and time, as Debian's policy asks. */
function packed(path: string, text: string): PackagedFile {
  return { path: `${path}.gz`, mode: 0o644, content: gzipSync(text, { level: 9 }) };
}
