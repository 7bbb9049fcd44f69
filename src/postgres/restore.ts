import { Pg321Error } from "../base/errors.ts";
import type { ChildResult } from "../stream/process.ts";
import { feedChild, runChild } from "../stream/process.ts";
import type { Selection } from "./archive.ts";
import { EVERYTHING } from "./archive.ts";
import type { PgRestore } from "./binaries.ts";
import type { Endpoint } from "./connection.ts";
import { databaseError } from "./errors.ts";
import { dbnameArgument, libpqEnvironment } from "./libpq.ts";
import { openRelay } from "./relay.ts";

export interface RestoreOptions {
  /** The database that takes it, which exists. */
  target: Endpoint;
  binary: PgRestore;
  /** A private directory, for the password's file. */
  tempDir: string;
  selection?: Selection;
  /** Drop what the archive holds before making it. */
  clean?: boolean;
  /** End at the first error; else go on and count them. True unless given. */
  exitOnError?: boolean;
  signal?: AbortSignal;
}

export interface RestoreResult {
  /** Errors that pg_restore went past, with `exitOnError: false`. */
  errorsIgnored: number;
  /** The end of pg_restore's stderr. */
  stderrTail: string;
}

/**
 * Feeds a dump to pg_restore while it comes. An error of the source ends pg_restore and is thrown as it
 * is; one of pg_restore is a `Pg321Error` with code `database`. With a selection pg_restore may be done
 * before the source is: the rest is then not read.
 */
export function restoreStream(
  source: AsyncIterable<Uint8Array>,
  options: RestoreOptions,
): Promise<RestoreResult> {
  return restore(options, [], (child) => feedChild(child, source));
}

/** Restores a dump in a file with several sessions at once. */
export function restoreFile(
  path: string,
  options: RestoreOptions & { jobs: number },
): Promise<RestoreResult> {
  // A name that begins with a dash is no option.
  return restore(options, [`--jobs=${options.jobs}`, "--", path], runChild);
}

type ChildRun = Parameters<typeof runChild>[0];

async function restore(
  options: RestoreOptions,
  last: string[],
  run: (child: ChildRun) => Promise<ChildResult>,
): Promise<RestoreResult> {
  const { target, binary, signal, exitOnError = true, selection = EVERYTHING } = options;
  await using relay = binary.needsRelay ? await openRelay(target, options.tempDir) : undefined;
  await using libpq = await libpqEnvironment(relay?.endpoint ?? target, options.tempDir);
  const argv = [
    ...[binary.path, "--format=custom", "--no-password", dbnameArgument(target.database)],
    ...(exitOnError ? ["--exit-on-error"] : []),
    ...(options.clean ? ["--clean", "--if-exists"] : []),
    ...selection.schemas.map((schema) => `--schema=${schema}`),
    ...selection.tables.map((table) => `--table=${table}`),
    ...last,
  ];
  try {
    const { stderrTail } = await run({ argv, env: libpq.env, ...(signal && { signal }) });
    return { errorsIgnored: 0, stderrTail };
  } catch (thrown) {
    // What kept a session from the server is not known to the program.
    const error = databaseError(
      relay?.failure ?? thrown,
      `${target.label}: restore into database "${target.database}" failed`,
    );
    const stderrTail = (thrown as { stderrTail?: string }).stderrTail ?? "";
    const ignored = stderrTail.match(/errors ignored on restore: (\d+)\s*$/);
    if (!exitOnError && ignored && error instanceof Pg321Error)
      return { errorsIgnored: Number(ignored[1]), stderrTail };
    throw error;
  }
}
