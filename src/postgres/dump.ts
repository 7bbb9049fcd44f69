import { FIRST_DUMP_BYTE_MS } from "../base/limits.ts";
import type { DumpConfig } from "../config/dump-config.ts";
import type { BufferPool } from "../stream/buffer-pool.ts";
import { readChild } from "../stream/process.ts";
import type { PostgresBinary } from "./binaries.ts";
import type { Endpoint } from "./connection.ts";
import { databaseError } from "./errors.ts";
import { libpqEnvironment, ownRole } from "./libpq.ts";
import type { SelectedTables } from "./selected-tables.ts";

export interface DumpOptions
  extends Pick<DumpConfig, "lock_wait_timeout_ms" | "stall_timeout_ms" | "nice" | "io_class"> {
  /** The database to dump. */
  endpoint: Endpoint;
  binary: PostgresBinary;
  /** A private directory, for the password's file. */
  tempDir: string;
  /** The id of an exported snapshot to dump; undefined: pg_dump takes its own. */
  snapshot?: string | undefined;
  /** More options of pg_dump, for a part of the database. */
  part?: readonly string[];
  /** This part in errors. */
  stream?: string;
  /** The parts of the database to dump; undefined: all of it. */
  selected?: SelectedTables | undefined;
  signal?: AbortSignal;
  /** The pool that the blocks come from and must be released to. */
  blocks?: BufferPool;
  /** Called once when pg_dump has the snapshot, locks on all its tables, and the values of the sequences. */
  onLocked?: (() => void) | undefined;
  /** Called once when pg_dump has ended, although its output may not have been read yet. */
  onEnd?: (() => void) | undefined;
  /** Called once when pg_dump has succeeded; its warnings are in the stderr. */
  onExit?: (result: { stderrTail: string }) => void;
}

/**
 * The dump of one database, uncompressed, in pg_dump's custom format. The stream ends only if pg_dump succeeded;
 * any failure throws before its end, a `Pg321Error` with code `database` and the end of stderr. If the reader
 * leaves early pg_dump is ended.
 */
export async function* dumpDatabase(options: DumpOptions): AsyncGenerator<Uint8Array, void, undefined> {
  const { endpoint, binary, signal, stream } = options;
  await using libpq = await libpqEnvironment(endpoint, options.tempDir);
  try {
    yield* readChild(
      {
        argv: [
          ...[binary.path, "--format=custom", "--compress=0", "--no-password", ownRole(endpoint)],
          ...(options.lock_wait_timeout_ms > 0
            ? [`--lock-wait-timeout=${options.lock_wait_timeout_ms}`]
            : []),
          ...namesFor(options.selected?.args ?? [], binary),
          ...(options.snapshot === undefined ? [] : [`--snapshot=${options.snapshot}`]),
          ...(options.part ?? []),
        ],
        env: libpq.env,
        nice: options.nice,
        ioClass: options.io_class,
        stallTimeoutMs: options.stall_timeout_ms,
        firstByteTimeoutMs: firstByteTimeoutMs(options),
        ...(signal && { signal }),
        ...(options.onLocked && { onFirstByte: options.onLocked }),
        onEnd: options.onEnd,
      },
      options.blocks,
      options.onExit,
    );
  } catch (error) {
    const where = stream === undefined ? "" : ` in stream ${stream}`;
    throw databaseError(error, `${endpoint.label}: dump of database "${endpoint.database}" failed${where}`);
  }
}

/** Renamed in version 16, which still accepts the earlier names. */
const EARLIER_NAMES: Readonly<Record<string, string>> = {
  "--large-objects": "--blobs",
  "--no-large-objects": "--no-blobs",
};

function namesFor(args: readonly string[], { major }: PostgresBinary): readonly string[] {
  return major >= 16 ? args : args.map((one) => EARLIER_NAMES[one] ?? one);
}

/** Before it writes anything, pg_dump reads the whole system catalog and locks each table. 0: no limit. */
function firstByteTimeoutMs({ stall_timeout_ms, lock_wait_timeout_ms }: DumpOptions): number {
  if (stall_timeout_ms === 0 || lock_wait_timeout_ms === 0) return 0;
  return Math.max(stall_timeout_ms, FIRST_DUMP_BYTE_MS) + lock_wait_timeout_ms;
}
