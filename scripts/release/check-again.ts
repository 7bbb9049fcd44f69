import { cp, mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { output, type Release, ReleaseError, ROOT } from "./commit.ts";
import type { Target } from "./target.ts";

/** Makes the release again, in a fresh clone at another path, and compares the checksums. */
export async function checkAgain(out: string, targets: readonly Target[], release: Release): Promise<void> {
  const directory = await mkdtemp("/var/tmp/pg321-release-");
  try {
    const clone = join(directory, "another/clone");
    await output(["git", "clone", "--quiet", ROOT, clone]);
    await cp(join(ROOT, "node_modules"), join(clone, "node_modules"), {
      recursive: true,
      verbatimSymlinks: true,
    });
    const chosen = targets.flatMap(({ name }) => ["--target", name]);
    const script = join(clone, "scripts/release.ts");
    await output([process.execPath, script, "--maintainer", release.maintainer, ...chosen], {
      cwd: clone,
      env: { PATH: process.env["PATH"] ?? "", HOME: directory, TZ: "Pacific/Chatham" },
    });
    const [first, second] = await Promise.all(
      [out, join(clone, "dist/release")].map((path) => Bun.file(join(path, "SHA256SUMS")).text()),
    );
    if (first !== second)
      throw new ReleaseError("a second run made other bytes", `first:\n${first}second:\n${second}`);
    console.log("a second run in a fresh clone made the same bytes");
  } finally {
    await rm(directory, { recursive: true });
  }
}
