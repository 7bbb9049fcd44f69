import { existsSync } from "node:fs";
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";

async function system(...argv: string[]): Promise<void> {
  const exitCode = await Bun.spawn(argv, { stdout: "ignore" }).exited;
  if (exitCode !== 0) throw new Error(`${argv.join(" ")}: exit ${exitCode}`);
}

/** A tmpfs of a size in MiB at a path; needs root. */
export async function mountTmpfs(path: string, mib: number): Promise<AsyncDisposable> {
  await system("mount", "-t", "tmpfs", "-o", `size=${mib}m,mode=700`, "pg321-test", path);
  return { [Symbol.asyncDispose]: () => system("umount", path) };
}

/** A mount that can hang on demand, like a lost network disk. */
export interface Freezable extends AsyncDisposable {
  freeze(): Promise<void>;
  thaw(): Promise<void>;
}

/** A file system in a file, on a loop device; needs root. */
export async function mountFreezable(image: string, path: string): Promise<Freezable> {
  await system("truncate", "--size=300M", image);
  await system("mkfs.ext4", "-q", image);
  await system("mount", "-o", "loop", image, path);
  // Empty, like the directory of a new storage.
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

/** Why hanging mounts are not possible here; undefined if they are. */
export function noHanging(): string | undefined {
  if (process.getuid?.() !== 0) return "only root can mount";
  return existsSync("/dev/fuse") ? undefined : "there is no /dev/fuse";
}

/**
 * An empty file system that hangs on demand: a process that calls it then cannot be ended, not even by SIGKILL. Needs
 * root and /dev/fuse. A hanging call fails, at the latest, when the mount is disposed of.
 */
export async function mountHanging(path: string): Promise<{ hang(): Promise<void> } & AsyncDisposable> {
  const toHang = `${path}.hangs`;
  const server = Bun.spawn(["python3", join(import.meta.dir, "hangfs.py"), path, toHang], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const { value } = await server.stdout.getReader().read();
  if (value === undefined) throw new Error(`${path} could not be mounted`);
  return {
    hang: () => writeFile(toHang, ""),
    async [Symbol.asyncDispose]() {
      server.kill("SIGKILL");
      await server.exited;
      await system("umount", "--lazy", path);
      await rm(toHang, { force: true });
    },
  };
}
