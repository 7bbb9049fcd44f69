import { messageOf, Pg321Error, UnreadableDump } from "../../base/errors.ts";
import { ChildError, feedChild } from "../../stream/process.ts";
import type { BinDir } from "../binaries.ts";
import { pgRestoreToRead } from "../binaries.ts";
import { CLEAN_ENVIRONMENT } from "../libpq.ts";
import { messagesOf } from "../program-messages.ts";
import { NotAnArchive } from "./format.ts";

export interface ReadThroughOptions {
  /** Of the pg_dump that made the dump, such as `17.2`; null: unknown. */
  pgDumpVersion: string | null;
  binDir: BinDir;
  nice: number;
  signal: AbortSignal;
}

/**
 * Lets pg_restore read a dump to its end, as it arrives, and write the SQL to /dev/null: no file, no server. The source
 * is always read to its end. Throws `UnreadableDump` only if pg_restore says that the dump itself is broken. If none is
 * installed that is as new as the pg_dump, or it fails for another reason, this says nothing about the dump: returns that
 * reason. Returns null if the dump was read. An error of the source is thrown unchanged.
 */
export async function readThrough(
  source: AsyncIterable<Uint8Array>,
  { pgDumpVersion, binDir, nice, signal }: ReadThroughOptions,
): Promise<string | null> {
  const iterator = source[Symbol.asyncIterator]();
  const rest = { [Symbol.asyncIterator]: () => ({ next: () => iterator.next() }) };
  const drain = async () => {
    for await (const _ of rest);
  };
  const head = await headOf(iterator);
  if (!head.subarray(0, MAGIC.length).equals(MAGIC) || head.length < HEAD_BYTES) {
    await drain();
    throw new UnreadableDump("the backup does not contain a dump in pg_dump's custom format");
  }
  const format = `${head[MAGIC.length]}.${head[MAGIC.length + 1]}`;
  const dumpMajor = Number.parseInt(pgDumpVersion ?? "0", 10) || 0;
  const found = await pgRestoreToRead(format, dumpMajor, binDir).catch(messageOf);
  if (typeof found === "string") {
    await drain();
    return found;
  }
  async function* whole(): AsyncGenerator<Uint8Array, void, undefined> {
    yield head;
    yield* rest;
  }
  const argv = [found.path, "--format=custom", "--file=/dev/null"];
  try {
    await feedChild({ argv, env: { ...CLEAN_ENVIRONMENT }, nice, signal }, whole());
  } catch (error) {
    if (!(error instanceof ChildError)) throw error;
    // An error of the rest of the source tells more than that of pg_restore.
    await drain();
    const said = messagesOf(error.stderrTail).find(({ kind }) => kind === "error")?.text ?? "";
    if (error.exitCode === 1 && BROKEN.test(said))
      throw new UnreadableDump(`pg_restore ${found.version} cannot read the dump: ${said}`, error);
    return `pg_restore ${found.version} failed: ${said || error.stderrTail || error.message}`;
  }
  await drain();
  return null;
}

const MAGIC = Buffer.from("PGDMP");
/** The magic bytes and the version of the format. */
const HEAD_BYTES = MAGIC.length + 3;

/**
 * The errors by which pg_restore says that the archive is broken (pg_backup_archiver.c, pg_backup_custom.c). Any other
 * says something about pg_restore or this host: a version or a compression that it does not know, no memory.
 */
const BROKEN = new RegExp(
  [
    "could not read from input file: end of file",
    "unexpected end of file",
    "input file (is too short|does not appear|appears to be)",
    "did not find magic string",
    "sanity check on integer size",
    "differs from format found in file",
    "perhaps a corrupt TOC",
    "possibly corrupt archive",
    "unexpected data offset flag",
    "bad (table )?dumpId",
    "(unrecognized|invalid) data block type",
    "unexpected block ID",
    "could not find block ID",
    "missing (table |data )?.*in archive",
  ].join("|"),
);

/**
 * Whether an error of a restore suggests that the dump itself is broken. It is no proof: pg_restore may also have got
 * less than the dump. `readThrough` decides.
 */
export function suggestsBrokenDump(error: unknown): boolean {
  if (error instanceof UnreadableDump || error instanceof NotAnArchive) return true;
  return error instanceof Pg321Error && error.code === "database" && BROKEN.test(error.message);
}

async function headOf(iterator: AsyncIterator<Uint8Array>): Promise<Buffer> {
  let head = Buffer.alloc(0);
  while (head.length < HEAD_BYTES) {
    const next = await iterator.next();
    if (next.done) break;
    // A source may reuse its buffers.
    head = Buffer.concat([head, next.value]);
  }
  return head;
}
