import * as v from "valibot";
import { plural } from "../../base/text/amounts.ts";

/** A table or sequence of an extension, with data in the dump. */
const extensionDataSchema = v.object({ schema: v.string(), name: v.string(), extension: v.string() });

/** How a dump with `dump.jobs` above 1 was made. */
export const dumpStreamsSchema = v.object({
  /** `dump.jobs` of that run. */
  jobs: v.number(),
  /** Archives of rows in the dump, which is a container then, with one more archive for the schema; null: one archive. */
  data_archives: v.nullable(v.number()),
  /** Streams of rows at the same time. */
  at_once: v.number(),
  /** Why the dump was made in one stream; null: it was not. */
  why_one: v.nullable(v.string()),
  /** Missing: none, or the dump is one archive, which has them. */
  extension_data: v.optional(v.array(extensionDataSchema)),
});

export type ExtensionData = v.InferOutput<typeof extensionDataSchema>;

export type DumpStreams = v.InferOutput<typeof dumpStreamsSchema>;

/** Those of the facts of a record, without a look at the rest; null: one stream, as asked for, or not known. */
export function streamsOf(facts: Record<string, unknown> | null): DumpStreams | null {
  const result = v.safeParse(dumpStreamsSchema, facts?.["streams"]);
  return result.success ? result.output : null;
}

/** `3 archives of rows and one of the schema, 2 streams at once (dump.jobs 2)` */
export function streamsText({ jobs, data_archives, at_once, why_one }: DumpStreams): string {
  if (data_archives === null) return `one, not dump.jobs (${jobs}): ${why_one}`;
  return `${plural(data_archives, "archive")} of rows and one of the schema, ${plural(at_once, "stream")} at once (dump.jobs ${jobs})`;
}
