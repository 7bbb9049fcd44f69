import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { output, ReleaseError, ROOT } from "./commit.ts";
import { LOCKED } from "./inside.ts";
import type { Target } from "./target.ts";

const CACHE = join(ROOT, "node_modules/.cache/bun");

/**
 * Bun's executable for a target, from the npm registry that npm uses here, if it has the checksum of package-lock.json.
 * Bun itself would download it too, but without a checksum.
 */
export async function runtimeFor({ runtime }: Target): Promise<string> {
  const installed = join(ROOT, "node_modules", runtime, "bin/bun");
  if (existsSync(installed)) return installed;
  const locked = LOCKED[`node_modules/${runtime}`];
  if (locked?.integrity === undefined) throw new Error(`package-lock.json has no ${runtime}`);
  const name = `${runtime}@${locked.version}`;
  const cached = join(CACHE, name.replace("/", "+"));
  if (existsSync(cached)) return cached;
  await mkdir(CACHE, { recursive: true });
  const directory = await mkdtemp(join(CACHE, "fetch-"));
  try {
    await output(["npm", "pack", "--silent", name], { cwd: directory });
    const packed = join(directory, (await readdir(directory))[0] ?? "");
    const hash = new Bun.CryptoHasher("sha512").update(await Bun.file(packed).bytes());
    if (`sha512-${hash.digest("base64")}` !== locked.integrity)
      throw new ReleaseError(
        `${name}: the checksum differs from package-lock.json`,
        "do not use the package; find out why the registry has another one",
      );
    await output(["tar", "-xzf", packed, "package/bin/bun"], { cwd: directory });
    await rename(join(directory, "package/bin/bun"), cached);
    return cached;
  } finally {
    await rm(directory, { recursive: true });
  }
}
