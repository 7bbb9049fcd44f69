import { Pg321Error } from "../../../base/errors.ts";
import type { BackupRecord } from "../../../catalog/records.ts";
import { type Connection, connect, type Endpoint } from "../../../postgres/connection.ts";
import { contentsOfDatabase, inspectServer } from "../../../postgres/inspect.ts";
import { systemIdentifier } from "../../../postgres/system-identifier.ts";
import type { JobContext } from "../../context.ts";
import { refuseReadOnly } from "../obstacles.ts";
import { type Finished, isAttempt, Restored, type SeenDatabase, type SeenServer } from "./attempts.ts";

/** What is to be done about one database. */
export type Step =
  | { do: "skip" }
  | { do: "refuse"; error: Pg321Error }
  /** It was restored, but the restore was cut off before it got its name. */
  | { do: "rename"; attempt: string; isPartial: boolean }
  /** Into a new database, after these unfinished ones are dropped. */
  | { do: "create"; drop: string[] }
  /** Into the empty database of this name: every server has a `postgres`. */
  | { do: "fill" };

export interface Planned {
  backup: BackupRecord;
  step: Step;
}

export interface Plans {
  plans: Planned[];
  /** Whether a restore of these backups to this target was begun before: only then there is something to resume. */
  hasBegun: boolean;
  /** Of the target. */
  major: number;
}

/** What is to be done about each backup's database. Changes nothing. */
export async function planSteps(
  context: JobContext,
  { target, resume }: { target: Endpoint; resume: boolean },
  backups: readonly BackupRecord[],
): Promise<Plans> {
  await using connection = await connect(target);
  const { major, readOnly } = await inspectServer(connection);
  refuseReadOnly(target, readOnly);
  const seen = await seenServer(connection);
  const restored = await Restored.read(context);
  const ids = backups.map(({ id }) => id);
  const hasBegun = restored.hasBegun(ids, seen);
  const plans: Planned[] = [];
  for (const backup of backups) {
    const found = seen.databases.find(({ name }) => name === backup.database);
    const isEmpty = found !== undefined && (await isEmptyDatabase(target, found.name));
    const looked = { seen, restored, isEmpty, hasBegun, resume, label: target.label };
    plans.push({ backup, step: stepFor(backup, looked) });
  }
  return { plans, hasBegun, major };
}

/** What a step depends on. */
export interface Looked {
  seen: SeenServer;
  restored: Restored;
  /** Whether the database of this name exists and is empty. */
  isEmpty: boolean;
  hasBegun: boolean;
  resume: boolean;
  label: string;
}

/**
 * Whether the backup's database is created, filled, renamed from a finished attempt, skipped because this very restore made
 * it, or refused because another one has its name.
 */
export function stepFor({ id, database }: Pick<BackupRecord, "id" | "database">, looked: Looked): Step {
  const { seen, restored, isEmpty, resume } = looked;
  const attempts = resume ? seen.databases.filter(({ name }) => isAttempt(id, name)) : [];
  const finishedAttempts = attempts.flatMap((one) => {
    const finished = restored.finished(id, seen, one);
    return finished === undefined ? [] : [{ attempt: one.name, isPartial: finished.isPartial }];
  });
  const [whole] = finishedAttempts.toSorted((one, other) => Number(one.isPartial) - Number(other.isPartial));
  const found = seen.databases.find(({ name }) => name === database);
  if (found === undefined)
    return whole ? { do: "rename", ...whole } : { do: "create", drop: attempts.map(({ name }) => name) };
  if (whole) return { do: "refuse", error: takenName(looked.label, database, whole.attempt) };
  const finished = resume ? restored.finished(id, seen, found) : undefined;
  // A database that was emptied since, or dropped and made anew, is not what was restored.
  if (isEmpty)
    return finished && finished.tables === 0 && !finished.isPartial ? { do: "skip" } : { do: "fill" };
  if (finished && !finished.isPartial) return { do: "skip" };
  return { do: "refuse", error: existing(database, finished, looked) };
}

async function seenServer(connection: Connection): Promise<SeenServer> {
  const databases = await connection.run(
    "list the databases",
    (sql) => sql<SeenDatabase[]>`
      select datname as name, oid::text as oid from pg_database order by datname collate "C"`,
  );
  return { system: await systemIdentifier(connection), databases: [...databases] };
}

async function isEmptyDatabase(target: Endpoint, database: string): Promise<boolean> {
  await using connection = await connect({ ...target, database });
  return (await contentsOfDatabase(connection)).length === 0;
}

function takenName(label: string, database: string, attempt: string): Pg321Error {
  const message = `${label}: database "${database}" exists, but "${attempt}" is the one that was restored`;
  const hint = `rename or drop "${database}", and run this again: the restored database then gets its name`;
  return new Pg321Error("database", message, { hint });
}

function existing(
  database: string,
  finished: Finished | undefined,
  { label, hasBegun, resume }: Looked,
): Pg321Error {
  if (finished) {
    const message = `${label}: database "${database}" was restored only in part, by run ${finished.run_id}`;
    const hint = "if that is good enough, leave it; otherwise rename or drop it, and run this again";
    return new Pg321Error("database", message, { hint });
  }
  const message = `${label}: database "${database}" already exists and is not empty`;
  return new Pg321Error("database", message, { hint: hintFor(hasBegun, resume) });
}

function hintFor(hasBegun: boolean, resume: boolean): string {
  if (!hasBegun && resume)
    return "no restore of these backups was begun on this server, so there is nothing to resume: check --target, and restore onto an empty server";
  if (!hasBegun) return "restore onto an empty server";
  return resume
    ? "no record says that this very database was restored from this backup: rename or drop it, and run this again"
    : "restore onto an empty server; to go on with the restore that was begun here, add --resume";
}
