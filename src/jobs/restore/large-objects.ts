import type { ArchiveEntry } from "../../postgres/archive/format.ts";
import type { Connection } from "../../postgres/connection.ts";
import type { Obstacle, RestoreRequest } from "./report.ts";

/** At most this many large objects are named. */
const NAMED_MAX = 5;

/**
 * Prevents a restore with `keepGoing` from writing over live large objects: if one with the same OID exists, pg_restore
 * only reports that it cannot create it, and then writes the bytes of the backup into the live one.
 */
export async function largeObjectObstacles(
  connection: Connection,
  { target, create, clean, keepGoing }: Pick<RestoreRequest, "target" | "create" | "clean" | "keepGoing">,
  entries: readonly ArchiveEntry[],
): Promise<Obstacle[]> {
  const ranges = largeObjectsOf(entries);
  if (create || clean || !keepGoing || ranges.length === 0) return [];
  const found = await connection.run(
    "look for large objects with the OIDs of the backup",
    (sql) => sql<{ oid: string }[]>`
      select m.oid::text as oid from pg_largeobject_metadata m
      where exists (select from json_to_recordset(${JSON.stringify(ranges)}::text::json) as a (first bigint, last bigint)
        where m.oid::bigint between a.first and a.last)
      order by m.oid limit ${NAMED_MAX + 1}`,
  );
  if (found.length === 0) return [];
  const named = found.slice(0, NAMED_MAX).map(({ oid }) => oid);
  const isOne = found.length === 1;
  return [
    {
      kind: "exists",
      message: `${target.label}: large ${isOne ? "object" : "objects"} ${named.join(", ")}${found.length > NAMED_MAX ? " and others" : ""} already ${isOne ? "exists" : "exist"}; nothing was changed`,
      hint: "--keep-going would write over live large objects with the OIDs of the backup: restore into a new database with --create, choose tables with --table, or leave out --keep-going",
    },
  ];
}

interface OidRange {
  first: number;
  last: number;
}

const ANY: OidRange = { first: 0, last: 2 ** 32 - 1 };

/**
 * The OIDs of the large objects that these entries restore. An entry of PostgreSQL 17 and later stands for many: its tag
 * is the first and the last OID. Every OID if the entries do not say which.
 */
export function largeObjectsOf(entries: readonly ArchiveEntry[]): OidRange[] {
  const made = entries.filter(({ description }) => description === "BLOB" || description === "BLOB METADATA");
  const ranges = made.map(({ tag }) => {
    const [, first, last = first] = /^(\d+)(?:\.\.(\d+))?$/.exec(tag) ?? [];
    return first === undefined ? ANY : { first: Number(first), last: Number(last) };
  });
  const hasContents = entries.some(({ description }) => description === "BLOBS");
  return hasContents && ranges.length === 0 ? [ANY] : ranges;
}
