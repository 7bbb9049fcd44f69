import { mkdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { messageOf, Pg321Error } from "../../base/errors.ts";
import type { ContainerMember } from "../../sealed/container/format.ts";
import type { SplitContainer } from "../../sealed/container/split.ts";
import type { SealedVersion } from "../../sealed/file-key.ts";
import { openDump } from "../load/dump-form.ts";
import { partPath, removeLeftParts } from "./left-parts.ts";
import { requireAbsent, writeNewFile } from "./new-file.ts";

export interface WrittenDump {
  bytes: number;
  /** The names of the files in the new directory, the schema first; empty if the dump is one file. */
  files: string[];
}

/**
 * Writes a dump to a new file, or, if it has several streams, their archives to files (0600) of a new directory (0700) of
 * that name. Never over anything that exists; an error leaves nothing. Throws code `usage` or `storage`.
 */
export async function writeNewDump(
  written: string,
  dump: AsyncIterable<Uint8Array>,
  version?: SealedVersion,
): Promise<WrittenDump> {
  const path = withoutSlashes(written);
  await removeLeftParts(path, "directory").catch((error) => refuseDirectory(path, error));
  const { container, archive } = await openDump(dump, version);
  if (archive && path !== written)
    throw new Pg321Error("usage", `${written}: the dump is one file, not a directory`, {
      hint: "leave out the slash at the end",
    });
  if (archive) return { bytes: await writeNewFile(path, archive), files: [] };
  await using _ = container;
  return await writeNewDirectory(path, container);
}

/** `out/` as `out`: names of files beside it begin with its own. */
function withoutSlashes(path: string): string {
  return path.replace(/(?<=.)\/+$/s, "");
}

async function writeNewDirectory(path: string, container: SplitContainer): Promise<WrittenDump> {
  const temporary = partPath(path);
  await mkdir(temporary, { mode: 0o700 }).catch((error) => refuseDirectory(path, error));
  try {
    const written = await writeMembers(temporary, container);
    await requireAbsent(path);
    // Fails if somebody has made a file or a directory that is not empty there in this moment.
    await rename(temporary, path).catch((error) => refuseDirectory(path, error));
    return written;
  } finally {
    await rm(temporary, { recursive: true, force: true });
  }
}

/** All members that are open must be read at the same time. */
async function writeMembers(directory: string, container: SplitContainer): Promise<WrittenDump> {
  const files: string[] = [];
  const writing: Promise<number>[] = [];
  const write = async ({ name, bytes }: ContainerMember) => {
    try {
      return await writeNewFile(join(directory, `${name}.dump`), bytes);
    } catch (error) {
      await container[Symbol.asyncDispose]();
      throw error;
    }
  };
  try {
    for await (const member of container.members) {
      files.push(`${member.name}.dump`);
      const one = write(member);
      one.catch(() => {});
      writing.push(one);
    }
  } catch (error) {
    const ended = await Promise.allSettled(writing);
    // A full disk ends the reading, so it is the reason.
    const failed = ended.find(({ status }) => status === "rejected");
    throw failed?.status === "rejected" ? failed.reason : error;
  }
  const sizes = await Promise.all(writing);
  return { bytes: sizes.reduce((sum, size) => sum + size, 0), files };
}

function refuseDirectory(path: string, cause: unknown): never {
  throw new Pg321Error("storage", `${path}: ${messageOf(cause)}`, { hint: "name another directory", cause });
}
