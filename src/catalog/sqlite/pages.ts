import { setImmediate } from "node:timers/promises";
import type { EmptyBackup, PlacedCopy } from "../outlines.ts";
import type { CopyState } from "../records.ts";
import type { Row } from "./tables.ts";

type Read = (sql: string, values: Row) => Promise<Row[]>;

/** Backups that are looked at, or copies that are read, before other work gets its turn. */
const BATCH = 500;

/** The end of the next page, by the index on time alone. */
const PAGE_END = `SELECT started_at, id FROM backups WHERE (started_at, id) > ($started_at, $id)
  ORDER BY started_at, id LIMIT 1 OFFSET ${BATCH - 1}`;
/** Of NOT EXISTS, PostgreSQL would make a join with all copies for each page. */
const WITHOUT_COPIES = `SELECT id, server, database, host, kind, started_at, dump_bytes, object_bytes, held_at, hold_until
  FROM backups WHERE (started_at, id) > ($started_at, $id) AND (started_at, id) <= ($end_at, $end_id)
    AND +status != 'RUNNING'
    AND (SELECT 1 FROM copies WHERE backup_id = backups.id AND state NOT IN ('FAILED', 'DELETED') LIMIT 1) IS NULL
  ORDER BY started_at, id`;
/** Sorts after every time and every id. */
const END = "\u{10ffff}";

/** `Catalog.backupsWithoutCopies`: nearly all backups have copies, so a page is what was looked at, not what was found. */
export async function* backupsWithoutCopies(read: Read): AsyncGenerator<EmptyBackup[]> {
  let from: Row = { started_at: "", id: "" };
  for (;;) {
    const [last] = await read(PAGE_END, from);
    const end = { end_at: last?.["started_at"] ?? END, end_id: last?.["id"] ?? END };
    const found = await read(WITHOUT_COPIES, { ...from, ...end });
    if (found.length > 0) yield found as unknown as EmptyBackup[];
    if (last === undefined) return;
    from = last;
    await setImmediate();
  }
}

/** Before every copy. */
const FIRST_COPY = { backup_id: "", storage: "" };
/** By the index on state. */
const COPIES_IN_STATE = `WHERE state = $state AND (backup_id, storage) > ($backup_id, $storage)
  ORDER BY backup_id, storage LIMIT ${BATCH}`;

/** The end of the statement of `Catalog.copiesInState`, and its values. */
export function copiesInState(state: CopyState, { backup_id, storage } = FIRST_COPY): [string, Row] {
  return [COPIES_IN_STATE, { state, backup_id, storage }];
}

/** The next copies in one state, by the index on state: of several states at once, SQLite would sort all of them. */
const inState = (index: number) => `SELECT * FROM (SELECT backup_id, storage FROM copies
    WHERE state = $state${index} AND (backup_id, storage) > ($backup_id, $storage)
    ORDER BY backup_id, storage LIMIT ${BATCH}) AS one`;

/** `Catalog.placedCopies` */
export async function* placedCopies(read: Read, states: readonly CopyState[]): AsyncGenerator<PlacedCopy[]> {
  if (states.length === 0) return;
  const sql = `SELECT backup_id, storage, server, database, host
    FROM (${states.map((_, index) => inState(index)).join(" UNION ALL ")}) AS found JOIN backups ON backups.id = backup_id
    ORDER BY backup_id, storage LIMIT ${BATCH}`;
  const values = Object.fromEntries(states.map((state, index) => [`state${index}`, state]));
  let from: Row = FIRST_COPY;
  for (;;) {
    const found = await read(sql, { ...values, ...from });
    const last = found.at(-1);
    if (last === undefined) return;
    yield found as unknown as PlacedCopy[];
    from = { backup_id: last["backup_id"] ?? "", storage: last["storage"] ?? "" };
    await setImmediate();
  }
}

/** By the index on storage and key. */
const STATES_OF_KEYS = `SELECT object_key, state FROM copies
  WHERE storage = $storage AND object_key IN (SELECT value FROM json_each($keys))`;

/** `Catalog.copyStates` */
export async function copyStates(
  read: Read,
  storage: string,
  keys: readonly string[],
): Promise<Map<string, CopyState>> {
  const states = new Map<string, CopyState>();
  if (keys.length === 0) return states;
  for (const row of await read(STATES_OF_KEYS, { storage, keys: JSON.stringify(keys) })) {
    const key = String(row["object_key"]);
    const known = states.get(key);
    if (known === undefined || known === "DELETED") states.set(key, row["state"] as CopyState);
  }
  return states;
}
