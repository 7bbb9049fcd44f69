/**
 * `npm run release`: everything that is handed out, into dist/release. The same commit gives the same bytes, on any
 * host with the same Debian; only the signature differs. Nothing is published.
 */
import { existsSync } from "node:fs";
import { chmod, copyFile, mkdir, mkdtemp, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { build } from "./build.ts";
import { checkAgain } from "./release/check-again.ts";
import { refuseMissingKey, signChecksums, writeChecksums } from "./release/checksums.ts";
import {
  output,
  type Release,
  ReleaseError,
  ROOT,
  refuseUncommitted,
  releaseOfCommit,
} from "./release/commit.ts";
import { packagedFiles, source } from "./release/contents.ts";
import { buildDeb } from "./release/deb.ts";
import { licenceTexts } from "./release/licences.ts";
import { buildRpm } from "./release/rpm.ts";
import { runtimeFor } from "./release/runtime.ts";
import { billOfMaterials } from "./release/sbom.ts";
import { buildTarball } from "./release/tarball.ts";
import { TARGETS, type Target } from "./release/target.ts";
import { needTools } from "./release/tools.ts";

const USAGE = `npm run release -- [OPTION…]
  --target NAME            only this one; repeatable: ${TARGETS.map(({ name }) => name).join(", ")}
  --maintainer NAME        of the packages, as "Name <address>" (default: the author of the commit)
  --minisign-key FILE      signs SHA256SUMS (default: PG321_MINISIGN_KEY)
  --check                  makes it all again in a fresh clone and compares every byte
  --dirty                  a trial with files that are not committed
  --out DIRECTORY          default: dist/release`;

/** Replaced by each release; a directory of another name is never removed. */
const OWN_OUT = join(ROOT, "dist/release");

interface Options {
  targets: readonly Target[];
  release: Release;
  out: string;
  minisignKey: string | undefined;
}

async function makeRelease({ targets, release, out, minisignKey }: Options): Promise<void> {
  const isSigned = minisignKey !== undefined;
  await needTools(["dpkg-deb", "rpmbuild", "lintian", "npm", "tar", "gzip", "xz"]);
  if (isSigned) await needTools(["minisign"]);
  await mkdir(join(ROOT, "dist"), { recursive: true });
  const made = await mkdtemp(join(ROOT, "dist/release-"));
  try {
    for (const target of targets) await makeTarget(target, { release, made });
    const name = `pg321-${release.version}`;
    await Bun.write(join(made, `${name}.cdx.json`), await billOfMaterials(release));
    await Bun.write(join(made, `${name}-third-party-licences.txt`), await licenceTexts());
    await copyFile(source("CHANGELOG.md").name ?? "", join(made, "CHANGELOG.md"));
    await chmod(made, 0o755);
    await writeChecksums(made);
    if (isSigned) await signChecksums(made, minisignKey, release);
    else console.error("release: SHA256SUMS is not signed: no --minisign-key");
    if (out === OWN_OUT) await rm(out, { recursive: true, force: true });
    await rename(made, out);
  } finally {
    await rm(made, { recursive: true, force: true });
  }
}

async function makeTarget(
  target: Target,
  { release, made }: { release: Release; made: string },
): Promise<void> {
  const { version, commit } = release;
  const executablePath = await runtimeFor(target);
  const executable = join(made, `pg321-${version}-${target.name}`);
  await build(executable, { version, commit }, { target: target.bun, executablePath });
  const files = await packagedFiles(executable, release);
  report(executable);
  const tarball = `${executable}.tar.gz`;
  await buildTarball(files, { release, out: tarball });
  report(tarball);
  if (target.deb !== undefined) {
    const deb = join(made, `pg321_${version}-1_${target.deb}.deb`);
    await buildDeb({ release, architecture: target.deb, files, out: deb });
    await output(["lintian", "--fail-on", "error,warning", "--allow-root", "--no-user-dirs", deb]);
    report(deb);
  }
  if (target.rpm !== undefined) {
    const rpm = join(made, `pg321-${version.replace("-", "~")}-1.${target.rpm}.rpm`);
    await buildRpm({ release, architecture: target.rpm, files, out: rpm });
    report(rpm);
  }
}

function report(file: string): void {
  console.log(`${file.slice(file.lastIndexOf("/") + 1)}: ${(Bun.file(file).size / 2 ** 20).toFixed(1)} MiB`);
}

function readArguments() {
  const { values } = parseArgs({
    options: {
      target: { type: "string", multiple: true },
      maintainer: { type: "string" },
      "minisign-key": { type: "string" },
      check: { type: "boolean" },
      dirty: { type: "boolean" },
      out: { type: "string" },
      help: { type: "boolean" },
    },
  });
  for (const name of values.target ?? [])
    if (!TARGETS.some((target) => target.name === name))
      throw new ReleaseError(`--target ${name}: there is no such target`, USAGE);
  if (values.check === true && values.dirty === true)
    throw new ReleaseError(
      "--check and --dirty exclude each other",
      "a fresh clone has only what is committed",
    );
  if (values.maintainer !== undefined && !/^[^<>]+ <[^<>@]+@[^<>@]+>$/.test(values.maintainer))
    throw new ReleaseError(`--maintainer ${values.maintainer}: expected "Name <address>"`, USAGE);
  return values;
}

async function main(): Promise<void> {
  const values = readArguments();
  if (values.help === true) return console.log(USAGE);
  if (values.dirty !== true) await refuseUncommitted();
  const targets = TARGETS.filter(({ name }) => values.target?.includes(name) ?? true);
  const release = await releaseOfCommit(values.maintainer);
  const out = values.out ?? OWN_OUT;
  if (out !== OWN_OUT && existsSync(out))
    throw new ReleaseError(`--out ${out}: exists already`, "name a new directory");
  const minisignKey = values["minisign-key"] ?? process.env["PG321_MINISIGN_KEY"];
  if (minisignKey !== undefined) refuseMissingKey(minisignKey);
  await makeRelease({ targets, release, out, minisignKey });
  if (values.check === true) await checkAgain(out, targets, release);
}

try {
  await main();
} catch (error) {
  const isUsage = error instanceof TypeError && "code" in error;
  if (!(error instanceof ReleaseError) && !isUsage) throw error;
  console.error(`error: ${error.message}\nhint: ${error instanceof ReleaseError ? error.hint : USAGE}`);
  process.exitCode = 2;
}
