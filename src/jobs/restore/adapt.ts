import type { TextEdit } from "../../postgres/archive/data.ts";
import type { ArchiveEntry } from "../../postgres/archive/format.ts";
import type { Moved } from "../../postgres/archive/move/move.ts";
import { editsOf, editsOfRows } from "../../postgres/archive/move/move.ts";
import { quoteIdentifier } from "../../postgres/archive/sql-text.ts";
import type { Connection } from "../../postgres/connection.ts";
import { planData } from "../../postgres/restore/data-only.ts";
import type { SelectedPlan } from "../../postgres/restore/left-out.ts";
import { nameInText } from "../../postgres/restore/left-out.ts";
import { schemaState } from "../../postgres/restore/other-schema.ts";
import { onlyForward } from "../../postgres/restore/setval.ts";
import type { Obstacle, RestoreRequest } from "./report.ts";

/** The selected entries, adapted to options that restore them in another way. */
export interface Adapted {
  /** In the order of the restore. */
  entries: ArchiveEntry[];
  /** Whether pg_restore needs a file to seek in, even with one session; see `LoadPlan`. */
  needsFile: boolean;
  /** Consequences, for the dry run and the report. */
  notes: string[];
  obstacles: Obstacle[];
  /** Changes to the archive's table of contents. */
  edits: TextEdit[];
  /** Those of an archive of rows with these entries to restore, in a backup of several streams. */
  editsOfData?: (entries: readonly ArchiveEntry[]) => TextEdit[];
  /** Whether everything belongs to the role that restores, without privileges and tablespaces. */
  isPlain: boolean;
}

/**
 * Fits the selected entries to the target for --into-schema, --data-only, and --keep-going into existing tables. An
 * obstacle prevents the restore; a note is only for people. Changes nothing.
 */
export async function adapt(
  connection: Connection,
  request: RestoreRequest & { hasStreams: boolean },
  { entries, moved }: SelectedPlan,
): Promise<Adapted> {
  if (moved) return intoSchema(connection, request, moved);
  if (request.selection.only === "data") return onlyData(connection, request, entries);
  const { hasStreams, clean, create, jobs = 1, keepGoing } = request;
  // Several sessions would not be one transaction.
  const needsFile = hasStreams && clean && !create && jobs === 1 && !keepGoing;
  const notes = needsFile ? [ONE_TRANSACTION] : [];
  const plain = { entries, needsFile, notes, obstacles: [], isPlain: false };
  // pg_restore goes on after CREATE SEQUENCE has failed for a live sequence, and would set that one back.
  const mayReachLive = request.intoExisting && request.keepGoing && !request.clean;
  return { ...plain, ...(mayReachLive ? forwardOnly(entries, request.hasStreams) : { edits: [] }) };
}

const ONE_TRANSACTION =
  "everything is one transaction of one session, which gets the rows from files in temp_dir";

async function intoSchema(
  connection: Connection,
  { target }: RestoreRequest,
  moved: Moved,
): Promise<Adapted> {
  const { schema, entries, refused, left } = moved;
  const { exists, isEmpty, mayCreate } = await schemaState(connection, schema);
  const obstacles: Obstacle[] = [];
  const add = (kind: Obstacle["kind"], message: string, hint: string) =>
    void obstacles.push({ kind, message: `${target.label}: ${message}; nothing was changed`, hint });
  if (exists && !isEmpty)
    add(
      "exists",
      `schema "${schema}" is not empty`,
      "give --into-schema a new name: nothing is ever replaced there",
    );
  else if (!mayCreate)
    add(
      "lacks",
      `role "${connection.endpoint.user}" may not create ${exists ? `objects in schema "${schema}"` : "a schema"}`,
      exists
        ? `GRANT CREATE ON SCHEMA ${quoteIdentifier(schema)} TO ${quoteIdentifier(connection.endpoint.user)};`
        : `GRANT CREATE ON DATABASE ${quoteIdentifier(target.database)} TO ${quoteIdentifier(connection.endpoint.user)};`,
    );
  for (const { entry, reason } of refused)
    add(
      "not-movable",
      `${nameInText(entry)} cannot be restored into another schema: ${reason}`,
      "exclude it with --exclude-table, or restore it into a new database with --create",
    );
  const kinds = Map.groupBy(left, ({ description }) => description);
  const counts = [...kinds].map(([kind, all]) => `${all.length} ${kind}`);
  const notes = [
    `schema "${schema}" ${exists ? "gets" : "is created with"} copies of the tables: their columns, rows, keys and indexes`,
    `without defaults, identities, checks, owners and rights${counts.length > 0 ? `, and without ${counts.join(", ")}` : ""}`,
  ];
  return {
    entries,
    needsFile: false,
    notes,
    obstacles,
    edits: editsOf(moved, !exists),
    editsOfData: (rows) => editsOfRows(moved, rows),
    isPlain: true,
  };
}

async function onlyData(
  connection: Connection,
  { target, jobs = 1, intoExisting, keepGoing, hasStreams }: RestoreRequest & { hasStreams: boolean },
  selected: readonly ArchiveEntry[],
): Promise<Adapted> {
  const plan = await planData(connection, selected);
  const { entries, isReordered, hasOrder, lacking, filled, notes } = plan;
  const obstacles: Obstacle[] = [];
  const add = (kind: Obstacle["kind"], message: string, hint: string) =>
    void obstacles.push({ kind, message: `${target.label}: ${message}; nothing was changed`, hint });
  if (lacking.length > 0 && !keepGoing)
    add(
      "needs",
      `it lacks ${lacking.join(", ")}`,
      "create the tables as they were with --schema-only, or restore them whole into a new database with --create",
    );
  if (filled.length > 0 && !intoExisting)
    add(
      "contents",
      `${filled.join(", ")} ${filled.length === 1 ? "holds" : "hold"} rows already`,
      "add the rows of the backup to them with --into-existing",
    );
  if (hasOrder && jobs > 1)
    add(
      "order",
      "the tables refer to each other by foreign keys, and several sessions would not fill them in that order",
      "leave out --jobs",
    );
  // The streams have no order, and are no transaction.
  const needsOneSession = hasStreams && (hasOrder || (filled.length > 0 && !keepGoing));
  const needsFile = (hasStreams ? needsOneSession : isReordered) && jobs === 1;
  if (hasStreams && needsFile && !isReordered) notes.push(ONE_TRANSACTION);
  return {
    ...{ entries, needsFile, notes, obstacles, isPlain: false },
    ...forwardOnly(entries, hasStreams),
  };
}

function forwardOnly(
  entries: readonly ArchiveEntry[],
  hasStreams: boolean,
): Pick<Adapted, "edits" | "editsOfData"> {
  return { edits: hasStreams ? [] : editsOfSequences(entries), editsOfData: editsOfSequences };
}

/** Sets each sequence only if it is not further by then. */
function editsOfSequences(entries: readonly ArchiveEntry[]): TextEdit[] {
  return entries.flatMap(({ description, definition, ranges }) => {
    const text = description === "SEQUENCE SET" && ranges ? onlyForward(definition) : undefined;
    return text === undefined || !ranges ? [] : [{ range: ranges.definition, text }];
  });
}
