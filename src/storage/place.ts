import { realpath } from "node:fs/promises";
import { relative } from "node:path";
import { mountOf, readMountinfo } from "../base/files/mounts.ts";

/**
 * The names of a place, each in a form that does not depend on the spelling in the config. Two places are the same
 * if they share a name; one is inside another if one of its names continues a name of the other after a `/`.
 */
export type PlaceNames = readonly string[];

export type Overlap = "same" | "inside" | "around";

/** How place `a` lies in relation to place `b`; undefined if they do not overlap, as far as the names show. */
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
 * The names of a directory: its path without symbolic links, and its path within its file system, which is the same
 * for every mount of that. Throws the errors of `node:fs`.
 */
export async function placeOfDirectory(path: string): Promise<PlaceNames> {
  const real = await realpath(path);
  // Without a readable /proc the path alone has to do.
  const inFileSystem = placeInFileSystem(real, await readMountinfo());
  return [`file:${real}`, ...(inFileSystem === undefined ? [] : [inFileSystem])];
}

/**
 * `DEVICE:PATH` of a path, by the lines of `/proc/PID/mountinfo` (proc(5)); the last of several mounts on one point
 * is on top.
 */
export function placeInFileSystem(path: string, mountinfo: string): string | undefined {
  const found = mountOf(path, mountinfo);
  if (!found) return undefined;
  const rest = relative(found.point, path);
  const root = found.root === "/" ? "" : found.root;
  return `device ${found.device}:${root}${rest === "" ? "" : `/${rest}`}`;
}
