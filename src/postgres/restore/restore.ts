import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Pg321Error } from "../../base/errors.ts";
import { makePrivateDirectory } from "../../base/files/private-files.ts";
import type { ChildResult } from "../../stream/process.ts";
import { feedChild, runChild } from "../../stream/process.ts";
import type { PgRestore } from "../binaries.ts";
import type { Endpoint } from "../connection.ts";
import { databaseError } from "../errors.ts";
import { dbnameArgument, libpqEnvironment, ownRole } from "../libpq.ts";
import type { RestoreError } from "./errors.ts";
import { RestoreErrors } from "./errors.ts";
import { withExplanation } from "./known-errors.ts";
import type { Ownership } from "./ownership.ts";
import { openRelay } from "./relay.ts";

export interface RestoreOptions {
  /** The database to restore into; it must exist. */
  target: Endpoint;
  binary: PgRestore;
  /** A private directory, for the password's file and the list of entries. */
  tempDir: string;
  /** The ids of the entries to restore, in the archive's order; all if not given. */
  only?: readonly number[];
  /** Drop the archive's objects before creating them. */
  clean?: boolean;
  /**
   * Restores only objects and rows: everything belongs to the role that restores, without privileges, tablespaces,
   * security labels, publications and subscriptions.
   */
  isPlain?: boolean;
  /** Whom the objects belong to, and as which role they are restored. */
  ownership?: Pick<Ownership, "noOwner" | "role">;
  /** All or nothing: one transaction. Ends at the first error, and allows only one session. */
  singleTransaction?: boolean;
  /** End at the first error; otherwise continue and report errors. True if not given. */
  exitOnError?: boolean;
  /** Called at once with each error that pg_restore ignores, with `exitOnError: false`. */
  onError?: (error: RestoreError) => void;
  /** The application name of the sessions in `pg_stat_activity`. */
  applicationName?: string;
  signal?: AbortSignal;
}

export interface RestoreResult {
  /** Number of errors that pg_restore ignored, with `exitOnError: false`. */
  errorsIgnored: number;
  /** The end of pg_restore's stderr. */
  stderrTail: string;
}

/**
 * Feeds a dump to pg_restore as it arrives. An error of the source ends pg_restore and is thrown unchanged; an
 * error of pg_restore becomes a `Pg321Error` with code `database`. With `only` pg_restore may finish before the
 * source; then the rest is not read.
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
  // After `--` a name that begins with a dash is not an option.
  return restore(options, [`--jobs=${options.jobs}`, "--", path], runChild);
}

const PLAIN = ["--no-owner", "--no-acl", "--no-tablespaces", "--no-security-labels"].concat([
  "--no-publications",
  "--no-subscriptions",
]);

type ChildRun = Parameters<typeof runChild>[0];

async function restore(
  options: RestoreOptions,
  last: string[],
  run: (child: ChildRun) => Promise<ChildResult>,
): Promise<RestoreResult> {
  const { target, binary, signal, exitOnError = true, only, applicationName } = options;
  await using relay = binary.needsRelay ? await openRelay(target, options.tempDir) : undefined;
  await using libpq = await libpqEnvironment(relay?.endpoint ?? target, options.tempDir);
  await using list = only && (await listOfEntries(only, options.tempDir));
  const argv = [
    ...[binary.path, "--format=custom", "--no-password", dbnameArgument(target.database)],
    // Only with --verbose pg_restore says which entry an error belongs to.
    exitOnError ? "--exit-on-error" : "--verbose",
    ...(options.singleTransaction ? ["--single-transaction"] : []),
    ...(options.isPlain ? PLAIN : []),
    ...(options.ownership?.noOwner ? ["--no-owner"] : []),
    ownRole({ user: options.ownership?.role ?? target.user }),
    ...(options.clean ? ["--clean", "--if-exists"] : []),
    ...(list ? [`--use-list=${list.path}`] : []),
    ...last,
  ];
  const env = { ...libpq.env, ...(applicationName && { PGAPPNAME: applicationName }) };
  const errors = new RestoreErrors((error) => options.onError?.(error));
  const onStderr = exitOnError ? undefined : (bytes: Uint8Array) => errors.push(bytes);
  try {
    const { stderrTail } = await run({ argv, env, ...(onStderr && { onStderr }), ...(signal && { signal }) });
    return { errorsIgnored: 0, stderrTail };
  } catch (thrown) {
    errors.end();
    // pg_restore does not know why the relay could not reach the server.
    const error = databaseError(
      relay?.failure ?? thrown,
      `${target.label}: restore into database "${target.database}" failed`,
      true,
    );
    const stderrTail = (thrown as { stderrTail?: string }).stderrTail ?? "";
    if (errors.ignored === undefined || !(error instanceof Pg321Error))
      throw withExplanation(error, stderrTail);
    return { errorsIgnored: errors.ignored, stderrTail };
  }
}

/** A file for `--use-list`: pg_restore's own options select differently in different versions. */
async function listOfEntries(
  ids: readonly number[],
  tempDir: string,
): Promise<{ path: string } & AsyncDisposable> {
  await using made = new AsyncDisposableStack();
  const directory = made.use(await makePrivateDirectory(tempDir, "libpq"));
  const path = join(directory.path, "list");
  await writeFile(path, ids.map((id) => `${id};\n`).join(""), { mode: 0o600 });
  const all = made.move();
  return { path, [Symbol.asyncDispose]: () => all.disposeAsync() };
}
