import { createHash } from "node:crypto";
import { readFile, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { messageOf } from "../../base/errors.ts";
import { PLACE_MS_MAX, placeAt } from "../../base/files/place.ts";
import type { Owner } from "../../base/process/owners.ts";
import { ownerOf } from "../../base/process/owners.ts";
import type { HostFile } from "./list.ts";

/** A larger file is not a config, key or credential. */
const HOST_FILE_BYTES_MAX: number = 1024 * 1024;

export interface Rights extends Owner {
  mode: number;
}

/** A file of the list as it is on this host. */
export interface PresentFile {
  state: "there";
  file: HostFile;
  rights: Rights;
  /** The rights of its directory. */
  directory: Rights;
  content: Uint8Array;
  changedAt: Date;
}

export type SurveyedFile =
  | PresentFile
  | { state: "missing"; file: HostFile }
  | { state: "unreadable"; file: HostFile; reason: string };

/** Reads every file of the list with the rights of this process. Never rejects. */
export function surveyHostFiles(files: readonly HostFile[]): Promise<SurveyedFile[]> {
  return Promise.all(files.map(surveyed));
}

async function surveyed(file: HostFile): Promise<SurveyedFile> {
  const directory = dirname(file.path);
  try {
    const call = { what: file.path, limitMs: PLACE_MS_MAX };
    return await placeAt(directory).run(call, async () => {
      const stats = await stat(file.path);
      if (!stats.isFile()) return { state: "unreadable" as const, file, reason: "not a file" };
      if (stats.size > HOST_FILE_BYTES_MAX)
        return { state: "unreadable" as const, file, reason: "larger than 1 MiB" };
      return {
        state: "there" as const,
        file,
        rights: rightsOf(stats),
        directory: rightsOf(await stat(directory)),
        content: new Uint8Array(await readFile(file.path)),
        changedAt: stats.mtime,
      };
    });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR") return { state: "missing", file };
    return {
      state: "unreadable",
      file,
      reason: code === "EACCES" ? "cannot be read: permission denied" : messageOf(error),
    };
  }
}

function rightsOf(stats: { uid: number; gid: number; mode: number }): Rights {
  return { ...ownerOf(stats), mode: stats.mode & 0o7777 };
}

export function isPresent(one: SurveyedFile): one is PresentFile {
  return one.state === "there";
}

/**
 * Hex SHA-256 of the paths and contents of all existing files; undefined if one of them cannot be read. The signing key
 * is included, so nobody can find a password by comparing digests.
 */
export function fingerprintOf(files: readonly SurveyedFile[]): string | undefined {
  if (files.some(({ state }) => state === "unreadable")) return undefined;
  const hash = createHash("sha256");
  const present = files.filter(isPresent).map(({ file: { path }, content }) => ({ path, content }));
  for (const { path, content } of present.sort((a, b) => (a.path < b.path ? -1 : 1)))
    hash.update(`${path}\0${createHash("sha256").update(content).digest("hex")}\n`);
  return hash.digest("hex");
}
