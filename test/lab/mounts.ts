import { join } from "node:path";

async function system(...argv: string[]): Promise<void> {
  const exitCode = await Bun.spawn(argv, { stdout: "ignore" }).exited;
  if (exitCode !== 0) throw new Error(`${argv.join(" ")}: exit ${exitCode}`);
}

/** A tmpfs of so many MiB at a path; needs root. */
export async function mountTmpfs(path: string, mib: number): Promise<AsyncDisposable> {
  await system("mount", "-t", "tmpfs", "-o", `size=${mib}m,mode=700`, "pg321-test", path);
  return { [Symbol.asyncDispose]: () => system("umount", path) };
}

/** A mount that can be made to hang, as a lost network disk does. */
export interface Freezable extends AsyncDisposable {
  freeze(): Promise<void>;
  thaw(): Promise<void>;
}

/** A file system in a file, on a loop device; needs root. */
export async function mountFreezable(image: string, path: string): Promise<Freezable> {
  await system("truncate", "--size=300M", image);
  await system("mkfs.ext4", "-q", image);
  await system("mount", "-o", "loop", image, path);
  // Empty, as a storage's directory is.
  await system("rmdir", join(path, "lost+found"));
  let isFrozen = false;
  const thaw = async () => {
    if (isFrozen) await system("fsfreeze", "--unfreeze", path);
    isFrozen = false;
  };
  return {
    async freeze() {
      await system("fsfreeze", "--freeze", path);
      isFrozen = true;
    },
    thaw,
    async [Symbol.asyncDispose]() {
      await thaw();
      await system("umount", path);
    },
  };
}
