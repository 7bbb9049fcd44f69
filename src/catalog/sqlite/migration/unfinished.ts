import type { Database } from "bun:sqlite";
import { Pg321Error } from "../../../base/errors.ts";
import { timeText } from "../../../base/text/zoned-time.ts";

/** The table that a catalog has as long as it is being copied from another one. */
export const UNFINISHED = "unfinished_copy";

export interface UnfinishedCopy {
  /** Where it is copied from, for messages. */
  source: string;
  begun_at: string;
}

export function unfinishedCopy(database: Database): UnfinishedCopy | undefined {
  const table = database.query(`SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = '${UNFINISHED}'`);
  if (table.get() === null) return undefined;
  return database.query<UnfinishedCopy, []>(`SELECT source, begun_at FROM ${UNFINISHED}`).get() ?? undefined;
}

/** Half of the records would pass for all of them: repair and cleanup would work with what is missing. */
export function unfinishedError(label: string, { source, begun_at }: UnfinishedCopy): Pg321Error {
  return new Pg321Error("usage", `${label}: an unfinished copy of ${source}, begun ${timeText(begun_at)}`, {
    hint: "finish it: run the same pg321 catalog copy again",
  });
}
