import { readFile } from "node:fs/promises";

/** One mount of this process, by a line of `/proc/PID/mountinfo` (proc(5)). */
export interface Mount {
  /** Major and minor number, `8:1`. */
  device: string;
  /** The directory of the file system that is mounted here; `/` for all of it. */
  root: string;
  point: string;
  /** Such as `ext4`. */
  fileSystem: string;
}

/** The text of this process's mounts; empty if `/proc` cannot be read. */
export function readMountinfo(): Promise<string> {
  return readFile("/proc/self/mountinfo", "utf8").catch(() => "");
}

/** The mounts in the order in which they were made: a later one hides an earlier one at the same point. */
export function mountsOf(mountinfo: string): Mount[] {
  return mountinfo.split("\n").flatMap((line) => {
    const fields = line.split(" ");
    const [, , device, root, point] = fields.map(unescapedMount);
    const fileSystem = fields[fields.indexOf("-") + 1];
    if (device === undefined || root === undefined || point === undefined) return [];
    return [{ device, root, point, fileSystem: fileSystem ?? "unknown" }];
  });
}

/** The mount that a real path lies on. */
export function mountOf(path: string, mountinfo: string): Mount | undefined {
  let found: Mount | undefined;
  for (const mount of mountsOf(mountinfo))
    if (isAtOrBelow(path, mount.point) && mount.point.length >= (found?.point.length ?? 0)) found = mount;
  return found;
}

/** mountinfo and fstab write blanks and backslashes as octal numbers. */
export function unescapedMount(field: string): string {
  return field.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}

/** Whether a path is this directory or lies below it, by the names alone. */
export function isAtOrBelow(path: string, directory: string): boolean {
  return path === directory || path.startsWith(directory.endsWith("/") ? directory : `${directory}/`);
}
