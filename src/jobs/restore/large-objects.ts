import type { ArchiveContents, ArchiveEntry } from "../../postgres/archive/format.ts";
import type { Selection } from "../../postgres/archive/selection.ts";
import { isChosen } from "../../postgres/archive/selection.ts";
import type { Connection } from "../../postgres/connection.ts";
import type { Obstacle, RestoreRequest } from "./report.ts";

/** At most this many large objects are named. */
const NAMED_MAX = 5;

/** PostgreSQL 17 writes archives of format 1.16. */
const FORMAT_MINOR_OF_17 = 16;

/**
 * Prevents a restore with `keepGoing` from writing over live large objects: if one with the same OID exists, pg_restore
 * only reports that it cannot create it, and then writes the bytes of the backup into the live one. `clean` drops only
 * large objects that the entries show, so it is refused like `keepGoing` if they are hidden: without `keepGoing` it would
 * fail after it has dropped everything else.
 */
export async function largeObjectObstacles(
  connection: Connection,
  { target, create, clean, keepGoing }: Pick<RestoreRequest, "target" | "create" | "clean" | "keepGoing">,
  entries: readonly ArchiveEntry[],
  mayBeHidden: boolean,
): Promise<Obstacle[]> {
  const ranges = largeObjectsOf(entries, mayBeHidden);
  const cannotDrop = clean && mayBeHidden && largeObjectsOf(entries).length === 0;
  if (create || ranges.length === 0 || !(clean ? cannotDrop : keepGoing)) return [];
  const found = await connection.run(
    "look for large objects with the OIDs of the backup",
    (sql) => sql<{ name: string }[]>`
      select distinct m.oid, m.oid::text as name
      from json_to_recordset(${JSON.stringify(ranges)}::text::json) as a (first oid, last oid)
      join pg_largeobject_metadata m on m.oid between a.first and a.last
      order by m.oid limit ${NAMED_MAX + 1}`,
  );
  if (found.length === 0) return [];
  const named = found.slice(0, NAMED_MAX).map(({ name }) => name);
  const isOne = found.length === 1;
  return [
    {
      kind: "exists",
      message: `${target.label}: large ${isOne ? "object" : "objects"} ${named.join(", ")}${found.length > NAMED_MAX ? " and others" : ""} already ${isOne ? "exists" : "exist"}; nothing was changed`,
      hint: clean
        ? "--clean cannot drop the large objects of a backup of several streams by pg_dump 17 or later: restore into a new database with --create, choose tables with --table, or remove the large objects from the target first"
        : "--keep-going would write over live large objects with the OIDs of the backup: restore into a new database with --create, choose tables with --table, or leave out --keep-going",
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
 * is the first and the last OID. Every OID if the entries do not say which. `mayBeHidden`: see `mayHideLargeObjects`.
 */
export function largeObjectsOf(entries: readonly ArchiveEntry[], mayBeHidden = false): OidRange[] {
  const made = entries.filter(({ description }) => description === "BLOB" || description === "BLOB METADATA");
  const ranges = made.map(({ tag }) => {
    const [, first, last = first] = /^(\d+)(?:\.\.(\d+))?$/.exec(tag) ?? [];
    return first === undefined ? ANY : { first: Number(first), last: Number(last) };
  });
  const hasContents = entries.some(({ description }) => description === "BLOBS");
  return (hasContents || mayBeHidden) && ranges.length === 0 ? [ANY] : ranges;
}

/**
 * Whether a restore may bring large objects that no entry shows: in a backup of several streams by PostgreSQL 17 and
 * later, only the archives of the rows have them, which are read later.
 */
export function mayHideLargeObjects(
  { format }: Pick<ArchiveContents, "format">,
  selection: Selection,
  facts: { numbers: { large_objects: number } | null } | undefined,
): boolean {
  const [major = 0, minor = 0] = format.split(".").map(Number);
  if (major === 1 && minor < FORMAT_MINOR_OF_17) return false;
  return !isChosen(selection) && selection.only !== "schema" && facts?.numbers?.large_objects !== 0;
}
