import { readFile, realpath } from "node:fs/promises";
import { relative } from "node:path";

/**
 * The names of a place, each in a form that does not depend on how the config spells it. Two places are the same
 * where they share a name; one is inside of the other where a name of it goes on with `/` after the other's.
 */
export type PlaceNames = readonly string[];

export type Overlap = "same" | "inside" | "around";

/** How place `a` lies to place `b`; undefined where neither holds anything of the other, as far as the names tell. */
export function overlapOf(a: PlaceNames, b: PlaceNames): Overlap | undefined {
  const pairs = a.flatMap((one) => b.map((other) => [one, other] as const));
  if (pairs.some(([one, other]) => one === other)) return "same";
  if (pairs.some(([one, other]) => isInside(one, other))) return "inside";
  if (pairs.some(([one, other]) => isInside(other, one))) return "around";
  return undefined;
}

function isInside(inner: string, outer: string): boolean {
  return inner.startsWith(outer.endsWith("/") ? outer : `${outer}/`);
}

/**
 * The names of a directory: its path without symbolic links, and where it lies in its file system, which is the
 * same for every mount of that. Throws what `node:fs` throws.
 */
export async function placeOfDirectory(path: string): Promise<PlaceNames> {
  const real = await realpath(path);
  // No such file system is mounted where it cannot be read: then the path alone has to do.
  const mounts = await readFile("/proc/self/mountinfo", "utf8").catch(() => "");
  const inFileSystem = placeInFileSystem(real, mounts);
  return [`file:${real}`, ...(inFileSystem === undefined ? [] : [inFileSystem])];
}

/** `DEVICE:PATH` of a path by the lines of `/proc/PID/mountinfo` (proc(5)); the last of equal mount points is on top. */
export function placeInFileSystem(path: string, mountinfo: string): string | undefined {
  let found: { device: string; root: string; point: string } | undefined;
  for (const line of mountinfo.split("\n")) {
    const [, , device, root, point] = line.split(" ").map(unescaped);
    if (device === undefined || root === undefined || point === undefined) continue;
    const holdsIt = path === point || isInside(path, point);
    if (holdsIt && point.length >= (found?.point.length ?? 0)) found = { device, root, point };
  }
  if (!found) return undefined;
  const rest = relative(found.point, path);
  const root = found.root === "/" ? "" : found.root;
  return `device ${found.device}:${root}${rest === "" ? "" : `/${rest}`}`;
}

/** Blanks and backslashes stand in mountinfo as octal numbers. */
function unescaped(field: string): string {
  return field.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}
