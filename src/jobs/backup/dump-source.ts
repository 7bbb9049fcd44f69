import { unlessLate } from "../../base/abort.ts";
import type { Clock } from "../../base/clock.ts";
import type { BackupRecord } from "../../catalog/records.ts";
import type { ServerConfig } from "../../config/config.ts";
import type { SelectionSettings } from "../../config/database/settings.ts";
import { selectionFor } from "../../config/database/settings.ts";
import type { PostgresBinary } from "../../postgres/binaries.ts";
import { pgDumpFor } from "../../postgres/binaries.ts";
import type { Endpoint } from "../../postgres/connection.ts";
import { connect, endpointOf } from "../../postgres/connection.ts";
import type { DumpFacts } from "../../postgres/counts/facts.ts";
import { unknownFacts } from "../../postgres/counts/facts.ts";
import { dependentNames } from "../../postgres/counts/left-out.ts";
import type { Snapshot } from "../../postgres/counts/snapshot.ts";
import { withLackingRights } from "../../postgres/dump-rights.ts";
import { databaseBytes, inspectServer } from "../../postgres/inspect.ts";
import type { SelectedTables } from "../../postgres/selected-tables.ts";
import { selectTables } from "../../postgres/selected-tables.ts";
import { withConflict } from "../../postgres/standby-conflict.ts";
import type { BufferPool } from "../../stream/buffer-pool.ts";
import type { JobContext } from "../context.ts";
import { CountedDump } from "./counted-dump.ts";

/** Objects that a line of the log names. */
const NAMED_MAX = 5;

/** For the look at the rights of the role, after a dump has failed. */
const RIGHTS_MS_MAX = 10_000;

/** A dump whose contents are settled. */
export interface OpenDump {
  /** Whether it is a container of several archives (`dump.jobs`), not one archive. */
  isContainer: boolean;
  /** The dump, in buffers of `blocks`. Can be read once. */
  bytes: AsyncIterable<Uint8Array>;
}

/** A database that is ready to be dumped. */
export interface DumpSource extends AsyncDisposable {
  serverVersion: string;
  pgDumpVersion: string;
  /** Size on the server's disk, in bytes; 0 if the role cannot see it. */
  databaseBytes: number;
  /** The `left_out.key` of its facts; missing: everything is dumped. */
  selectionKey?: string | undefined;
  /** Connects, and takes the snapshot. Call it once. */
  open(blocks: BufferPool, signal: AbortSignal): Promise<OpenDump>;
  /** The end of pg_dump's stderr, once it succeeded: its warnings. */
  stderrTail(): string;
  /** What is written to the record before the first byte. */
  recorded?: Pick<BackupRecord, "facts">;
  /** What is in the dump; see `CountedDump.facts`. */
  facts(signal: AbortSignal): Promise<DumpFacts | undefined>;
}

/** Connects, inspects the server and finds a matching pg_dump. Throws code `database`. */
export async function prepareDump(
  context: JobContext,
  server: ServerConfig,
  database: string,
  snapshot?: Snapshot,
): Promise<DumpSource> {
  const endpoint = endpointOf(server, database);
  const selection = selectionFor(context.config, server.name, database);
  const facts = await factsOf(endpoint, database, selection);
  const { selected } = facts;
  const lacking = selected ? dependentNames(selected.left_out) : [];
  if (lacking.length > 0)
    context.log.warning(
      "a restore leaves out objects that need tables which the config leaves out of the dump",
      {
        ...{ server: server.name, database, objects: lacking.slice(0, NAMED_MAX).join(", ") },
        count: lacking.length + (selected?.left_out.dependents_omitted ?? 0),
        hint: "leave these objects out too, or dump the tables without their rows (exclude_table_data)",
      },
    );
  const binary = await pgDumpFor(facts.major, server.bin_dir);
  let stderrTail = "";
  let counted: CountedDump | undefined;
  return {
    serverVersion: facts.version,
    pgDumpVersion: binary.version,
    databaseBytes: facts.bytes,
    selectionKey: selected?.left_out.key,
    open: async (blocks, signal) => {
      const options = { ...dumpOptions(context, endpoint, binary), selected, blocks, signal };
      const onExit = (end: { stderrTail: string }) => (stderrTail = end.stderrTail);
      const dump = new CountedDump(context, { ...options, onExit }, snapshot);
      counted = dump;
      const limit = { clock: context.clock, signal };
      const isContainer = await dump.open().catch(async (error) => {
        throw await withRights(endpoint, error, limit);
      });
      return { isContainer, bytes: explained(dump.read(), endpoint, limit) };
    },
    stderrTail: () => stderrTail,
    facts: async (signal) => withLeftOut(await counted?.facts(signal), selected),
    [Symbol.asyncDispose]: async () => counted?.[Symbol.asyncDispose](),
  };
}

interface Limit {
  clock: Clock;
  signal: AbortSignal;
}

async function* explained(
  dump: AsyncIterable<Uint8Array>,
  endpoint: Endpoint,
  limit: Limit,
): AsyncGenerator<Uint8Array, void, undefined> {
  try {
    yield* dump;
  } catch (error) {
    throw await withRights(endpoint, error, limit);
  }
}

/** A server that does not answer this must neither hold the run nor hide the error of the dump. */
function withRights(endpoint: Endpoint, error: unknown, { clock, signal }: Limit): Promise<unknown> {
  const limit = { clock, signal, durationMs: RIGHTS_MS_MAX };
  const look = withLackingRights(endpoint, error).then((known) => withConflict(endpoint, known));
  return unlessLate(look, limit, () => new Error("late")).catch(() => error);
}

function dumpOptions({ config }: JobContext, endpoint: Endpoint, binary: PostgresBinary) {
  return { ...config.dump, endpoint, binary, tempDir: config.temp_dir };
}

/** What is left out is known without any count, too. */
function withLeftOut(
  facts: DumpFacts | undefined,
  selected: SelectedTables | undefined,
): DumpFacts | undefined {
  if (!selected) return facts;
  return { ...(facts ?? unknownFacts("dump.counts is false")), left_out: selected.left_out };
}

async function factsOf(endpoint: Endpoint, database: string, selection: SelectionSettings) {
  await using connection = await connect(endpoint);
  const facts = await inspectServer(connection);
  const bytes = (await databaseBytes(connection, database)) ?? 0;
  const selected = await selectTables(connection, selection);
  return { version: facts.version, major: facts.major, bytes, selected };
}
