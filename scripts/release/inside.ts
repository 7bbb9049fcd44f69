import { dirname, join } from "node:path";
import { ROOT } from "./commit.ts";

/** An npm package of which the executable contains at least one file. */
export interface InsidePackage {
  name: string;
  version: string;
  /** SPDX expression, as the package says it. */
  license: string;
  /** Its folder, from the root of the project. */
  folder: string;
  /** Of its archive in the registry, as in package-lock.json: `sha512-…`. */
  integrity: string;
  /** Of its code in the bundle. */
  bytes: number;
}

interface LockedPackage {
  version: string;
  license?: string;
  integrity?: string;
}

export const LOCKED: Readonly<Record<string, LockedPackage>> = (
  await Bun.file(join(ROOT, "package-lock.json")).json()
).packages;

let found: Promise<InsidePackage[]> | undefined;

/**
 * The packages that are really in the bundle, not those that package.json could lead to: `npm sbom --omit dev` lists
 * packages that are left out (Bun for other systems), and misses one that a development dependency needs as well.
 */
export function packagesInside(): Promise<InsidePackage[]> {
  found ??= find();
  return found;
}

async function find(): Promise<InsidePackage[]> {
  const { metafile } = await Bun.build({
    entrypoints: [join(ROOT, "src/main.ts")],
    root: ROOT,
    target: "bun",
    splitting: true,
    metafile: true,
  });
  const bytes = new Map<string, number>();
  for (const { inputs } of Object.values(metafile?.outputs ?? {}))
    for (const [path, { bytesInOutput }] of Object.entries(inputs)) {
      const folder = folderOf(path);
      if (folder !== undefined) bytes.set(folder, (bytes.get(folder) ?? 0) + bytesInOutput);
    }
  return [...bytes.keys()].sort().map((folder) => {
    const locked = LOCKED[folder];
    if (locked?.license === undefined || locked.integrity === undefined)
      throw new Error(`${folder} is in the bundle, but package-lock.json has no licence or checksum of it`);
    const { version, license, integrity } = locked;
    const name = folder.slice(folder.lastIndexOf("node_modules/") + "node_modules/".length);
    return { name, version, license, folder, integrity, bytes: bytes.get(folder) ?? 0 };
  });
}

/** `node_modules/@noble/curves` for a file in it; undefined for a file of pg321. */
function folderOf(path: string): string | undefined {
  for (let folder = dirname(path); folder !== "."; folder = dirname(folder)) {
    if (LOCKED[folder] !== undefined) return folder;
    if (folder === dirname(folder)) break;
  }
  return undefined;
}
