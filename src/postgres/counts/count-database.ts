import { unlessAborted } from "../../base/abort.ts";
import type { Connection } from "../connection.ts";
import type { SelectedTables } from "../selected-tables.ts";
import type { CountLimits } from "./count.ts";
import { countTables, readSequences } from "./count.ts";
import type { DumpFacts, ObjectNumbers, SequenceValue, TableCount } from "./facts.ts";
import { limitSession } from "./session.ts";
import type { DumpedSequence } from "./tables.ts";
import { listSequences, listTables, readObjects } from "./tables.ts";

/**
 * The facts of the connected database as of now, in one snapshot, to compare with those of a dump: same tables, same
 * method. `before` and `after` of a sequence are the same reading. The connection's session keeps settings for counting.
 * Throws code `database` if the database cannot be read, and the signal's reason before it has begun to count; a table
 * that could not be counted is in the facts, with the reason.
 */
export async function countDatabase(connection: Connection, limits: CountLimits): Promise<DumpFacts> {
  await limitSession(connection);
  await connection.run("begin to count", (sql) =>
    sql.unsafe("begin isolation level repeatable read read only"),
  );
  try {
    const sequences = await listSequences(connection);
    const values = await readSequences(connection, sequences, limits.signal);
    const facts = await readFacts(connection, { sequences, values }, limits);
    return { ...facts, sequences: facts.sequences.map((one) => ({ ...one, before: one.after })) };
  } finally {
    await connection.run("end the counts", (sql) => sql.unsafe("rollback")).catch(() => {});
  }
}

function numbersIn(numbers: ObjectNumbers, selected: SelectedTables | undefined): ObjectNumbers {
  return selected?.left_out.large_objects ? { ...numbers, large_objects: 0 } : numbers;
}

/** The sequences as they were before the dump. */
export interface SequencesBefore {
  sequences: readonly DumpedSequence[];
  values: readonly (SequenceValue | null)[];
}

/**
 * Reads the facts in the session's open transaction. Throws if the database cannot be read; when the signal aborts, the
 * rest is not counted.
 */
export async function readFacts(
  connection: Connection,
  { sequences, values }: SequencesBefore,
  limits: CountLimits,
): Promise<DumpFacts> {
  const { signal, selected } = limits;
  const after = await readSequences(connection, sequences, signal);
  const objects = await unlessAborted(readObjects(connection), signal);
  const listed = await unlessAborted(listTables(connection), signal);
  const tables = listed.filter(({ schema, name }) => selected?.hasRows(schema, name) ?? true);
  const counted: TableCount[] = [];
  await countTables(connection, tables, limits, (table) => counted.push(table));
  const readings = sequences.map(({ schema, name }, i) => ({
    ...{ schema, name },
    before: values[i] ?? null,
    after: after[i] ?? null,
  }));
  return {
    tables: counted,
    sequences: readings.filter(({ schema, name }) => selected?.hasRows(schema, name) ?? true),
    ...objects,
    // What belongs to the tables that are left out cannot be told apart from the rest.
    numbers: selected?.hasEveryObject === false ? null : numbersIn(objects.numbers, selected),
    problem: null,
  };
}
