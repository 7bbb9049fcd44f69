import type { Endpoint } from "../connection.ts";
import { connect } from "../connection.ts";
import { readSequences } from "./count.ts";
import type { SequenceReading } from "./facts.ts";
import { limitSession } from "./session.ts";

/**
 * The readings with the values of now as `after`, read by another session; null, with a call of `onError`, if it cannot
 * read them. Never throws.
 */
export async function readAgain(
  endpoint: Endpoint,
  readings: readonly SequenceReading[],
  signal: AbortSignal,
  onError: (error: unknown) => void,
): Promise<SequenceReading[]> {
  if (readings.length === 0) return [];
  try {
    await using connection = await connect(endpoint);
    await limitSession(connection);
    await connection.run("begin to read the sequences", (sql) => sql.unsafe("begin read only"));
    const values = await readSequences(connection, readings, signal);
    return readings.map((reading, i) => ({ ...reading, after: values[i] ?? null }));
  } catch (error) {
    onError(error);
    return readings.map((reading) => ({ ...reading, after: null }));
  }
}
