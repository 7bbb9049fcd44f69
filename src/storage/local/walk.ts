import type { Dirent, Stats } from "node:fs";
import { lstat, readdir } from "node:fs/promises";
import { join } from "node:path";
import { ignoring } from "../../base/files/missing.ts";
import { compareKeys } from "../key.ts";
import type { StoredObject } from "../storage.ts";
import { namesIn } from "./names.ts";

/** A directory that is walked through. */
export interface Walk {
  root: string;
  /** Runs one operation on it, with its time limit. */
  run: <T>(operation: () => Promise<T>) => Promise<T>;
  /** How many names of a directory are kept and sorted at once. */
  namesMax?: number;
}

const NAMES_MAX = 20_000;
/** Files that are examined in one operation, one after the other: each may hang, and occupies a thread then. */
const STATS_AT_ONCE = 50;

/**
 * Every regular file below `directory` (the root, or ends in a slash) whose key starts with `prefix` and sorts after
 * `after`, in key order, including temporary ones. Keeps at most some 20,000 names of a directory in memory, except
 * where the directory itself does not show that it holds more; see `isSmall`.
 */
export async function* walk(
  place: Walk,
  directory: string,
  wanted: { prefix: string; after: string },
): AsyncGenerator<StoredObject> {
  let from = "";
  for (;;) {
    const { names, isAll } = await nextNames(place, directory, wanted, from);
    for (let at = 0; at < names.length; ) {
      const name = names[at] ?? "";
      if (name.endsWith("/")) {
        yield* walk(place, name, wanted);
        at++;
        continue;
      }
      const group = filesFrom(names, at);
      at += group.length;
      yield* await place.run(() => objectsOf(place.root, group));
    }
    if (isAll) return;
    from = names.at(-1) ?? from;
  }
}

/**
 * The names in a directory that sort after `from`, as keys; those of directories end in a slash: "a-b" comes before
 * "a/b". `isAll`: there were no more when it was read.
 */
async function nextNames(
  { root, run, namesMax = NAMES_MAX }: Walk,
  directory: string,
  { prefix, after }: { prefix: string; after: string },
  from: string,
): Promise<{ names: string[]; isAll: boolean }> {
  const isWanted = (name: string) => {
    const isDirectory = name.endsWith("/");
    if (!name.startsWith(prefix) && !(isDirectory && prefix.startsWith(name))) return false;
    if (compareKeys(name, from) <= 0) return false;
    return compareKeys(name, after) > 0 || (isDirectory && after.startsWith(name));
  };
  const path = join(root, directory);
  if (!(await run(() => isSmall(path, namesMax)))) {
    const chosen = new FirstNames(namesMax);
    const isRead = await namesIn(path, run, (name) => {
      const key = directory + name;
      if (isWanted(key)) chosen.add(key);
    });
    if (isRead) return chosen.end();
  }
  // A directory that was removed after it was listed holds nothing.
  const entries = await run(() => readdir(path, { withFileTypes: true }).catch(ignoring("ENOENT")));
  const names = (entries ?? []).map((entry) => nameOf(entry)).filter((name) => name !== undefined);
  return {
    names: names
      .map((name) => directory + name)
      .filter(isWanted)
      .sort(compareKeys),
    isAll: true,
  };
}

/**
 * Whether a directory cannot hold more names than may be kept at once. Every file system counts at least one for each
 * entry in a directory's size (zfs one, tmpfs 20, the others the name's bytes), or nothing (cifs and some of FUSE).
 */
async function isSmall(path: string, namesMax: number): Promise<boolean> {
  const stats = await statsOrMissing(path);
  return stats === undefined || (stats.size > 0 && stats.size <= namesMax);
}

function nameOf(entry: Dirent): string | undefined {
  if (entry.isDirectory()) return `${entry.name}/`;
  return entry.isFile() ? entry.name : undefined;
}

/** The first ones of many names, in key order. */
class FirstNames {
  readonly #max: number;
  #names: string[] = [];
  /** Names from here on are too many. */
  #end: string | undefined;

  constructor(max: number) {
    this.#max = max;
  }

  add(name: string): void {
    if (this.#end !== undefined && compareKeys(name, this.#end) >= 0) return;
    this.#names.push(name);
    if (this.#names.length >= 2 * this.#max) this.#cut();
  }

  end(): { names: string[]; isAll: boolean } {
    this.#cut();
    return { names: this.#names, isAll: this.#end === undefined };
  }

  #cut(): void {
    this.#names.sort(compareKeys);
    this.#end = this.#names[this.#max] ?? this.#end;
    this.#names = this.#names.slice(0, this.#max);
  }
}

function filesFrom(names: readonly string[], at: number): string[] {
  const group = names.slice(at, at + STATS_AT_ONCE);
  const directory = group.findIndex((name) => name.endsWith("/"));
  return directory === -1 ? group : group.slice(0, directory);
}

async function objectsOf(root: string, keys: readonly string[]): Promise<StoredObject[]> {
  const objects: StoredObject[] = [];
  for (const key of keys) {
    const stats = await statsOrMissing(join(root, key));
    if (stats?.isFile()) objects.push(objectOf(key, stats));
  }
  return objects;
}

export function objectOf(key: string, stats: Stats): StoredObject {
  return { key, sizeBytes: stats.size, modifiedAt: stats.mtime };
}

export async function statsOrMissing(path: string): Promise<Stats | undefined> {
  return lstat(path).catch(ignoring("ENOENT", "ENOTDIR"));
}
