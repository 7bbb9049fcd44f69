import type { LockWait } from "../../postgres/lock-wait.ts";
import { boundLockWaits } from "../../postgres/lock-wait.ts";
import type { RestoreOptions } from "../../postgres/restore/restore.ts";
import { restoreFile, restoreStream } from "../../postgres/restore/restore.ts";
import type { Session } from "../../postgres/sessions.ts";
import { sessionText } from "../../postgres/sessions.ts";
import type { JobContext } from "../context.ts";
import type { Spool } from "../copies/spool.ts";

export interface Load {
  /** The dump, read to its end even if pg_restore needs less, because its hash is checked there. */
  source: AsyncIterable<Uint8Array>;
  /** A complete file of it, for several sessions at once. */
  spooled?: { file: Spool; jobs: number } | undefined;
  /** Whether pg_restore gets only a selection; then the rest of the source is not read. */
  isPart: boolean;
  /** Called when pg_restore has succeeded, before the rest of the source is read. */
  onLoaded?: () => void;
}

export type LoadOptions = Omit<RestoreOptions, "signal"> & {
  applicationName: string;
  /** If given, sessions that hold a lock in the way are ended, except those of pg321, and passed to it. */
  onTerminated?: ((session: Session) => void) | undefined;
};

type LoadContext = Pick<JobContext, "clock" | "signal" | "config" | "log">;

/** Runs the pg_restore of `work`, and ends them if one waits too long for a lock. */
export async function boundedByLocks<T>(
  { clock, signal, config, log }: LoadContext,
  { target, applicationName, onTerminated }: LoadOptions,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const bound = {
    ...{ target, applicationName, clock, signal },
    boundMs: config.dump.lock_wait_timeout_ms,
    onWait: ({ object, holders }: LockWait) =>
      log.warning("the restore waits for a lock", { object, held_by: holders.join(", ") }),
    ...(onTerminated && {
      onTerminated: (session: Session) => {
        log.warning("a session in the way was ended", { session: sessionText(session) });
        onTerminated(session);
      },
    }),
  };
  return await boundLockWaits(bound, work);
}

/** Feeds a dump to pg_restore, and ends it if it waits too long for a lock. Returns the number of errors it ignored. */
export async function loadArchive(
  context: LoadContext,
  { source, spooled, isPart, onLoaded = () => {} }: Load,
  options: LoadOptions,
): Promise<number> {
  const { errorsIgnored } = await boundedByLocks(context, options, (ending) =>
    spooled
      ? restoreFile(spooled.file.path, { ...options, signal: ending, jobs: spooled.jobs })
      : restoreStream(unended(source), { ...options, signal: ending }),
  );
  onLoaded();
  // pg_restore may finish before the dump ends.
  if (!spooled && !isPart) for await (const _ of source);
  return errorsIgnored;
}

/** Hides return(), so that a loop that ends early leaves the rest of the source readable. */
function unended(source: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
  const iterator = source[Symbol.asyncIterator]();
  return { [Symbol.asyncIterator]: () => ({ next: () => iterator.next() }) };
}
