import { link, lstat, open, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { messageOf, Pg321Error } from "../../base/errors.ts";
import { requireAnswer } from "../../base/files/place.ts";
import { writeWhole } from "../../base/files/write-whole.ts";
import { partPath, removeLeftParts } from "./left-parts.ts";

/** Something that bytes can be written to, such as stdout. */
export interface ByteSink {
  write(bytes: Uint8Array): Promise<unknown>;
}

/**
 * Writes a stream to a file that must not exist. An error leaves no file. Partial files that killed processes left for
 * the same name are removed. Throws code `usage` or `storage`.
 */
export async function writeNewFile(path: string, source: AsyncIterable<Uint8Array>): Promise<number> {
  await removeLeftParts(path, "file").catch((error) => refuse(path, error));
  const temporary = partPath(path);
  const file = await open(temporary, "wx", 0o600).catch((error) => refuse(path, error));
  try {
    try {
      const sink = {
        write: (chunk: Uint8Array) => writeWhole(file, chunk).catch((error) => refuse(path, error)),
      };
      const bytes = await writeAll(sink, source);
      await file.sync();
      await link(temporary, path).catch((error) => refuse(path, error));
      return bytes;
    } finally {
      await file.close();
    }
  } finally {
    await rm(temporary, { force: true });
  }
}

/** Fails early if the file exists: it is created only after what may be hours of reading. */
export async function requireAbsent(path: string): Promise<void> {
  await requireAnswer(path, dirname(path));
  const isThere = await lstat(path).then(
    () => true,
    (error: NodeJS.ErrnoException) => (error.code === "ENOENT" ? false : refuse(path, error)),
  );
  if (isThere) refuse(path, { code: "EEXIST" });
}

export async function writeAll(sink: ByteSink, source: AsyncIterable<Uint8Array>): Promise<number> {
  let bytes = 0;
  for await (const chunk of source) {
    await sink.write(chunk);
    bytes += chunk.length;
  }
  return bytes;
}

function refuse(path: string, cause: unknown): never {
  const { code } = cause as NodeJS.ErrnoException;
  const why = code === "EEXIST" ? "exists already" : messageOf(cause);
  throw new Pg321Error(code === "EEXIST" ? "usage" : "storage", `${path}: ${why}`, {
    hint: "name another file",
    cause,
  });
}
