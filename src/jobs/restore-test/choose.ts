import { Pg321Error } from "../../base/errors.ts";
import type { BackupRecord } from "../../catalog/records.ts";
import { restoreTestFor } from "../../config/database/settings.ts";
import type { NamedDatabase } from "../../config/database-pattern.ts";
import type { Storage } from "../../storage/storage.ts";
import type { JobContext } from "../context.ts";
import { findBackup, refuseGlobals, storagesToRead } from "../copies/find-backup.ts";
import { findDatabase } from "../copies/find-database.ts";
import { ownershipOf } from "../ownership.ts";

interface Wanted {
  /** Names of databases and ids of backups. */
  words: readonly string[];
  /** The name of a database. */
  database: string | undefined;
  selects: (server: string, database: string) => boolean;
}

/** The backups to test: the newest good backup of each database, or those that a person names. */
export async function chooseBackups(
  context: JobContext,
  { words, database: name, selects }: Wanted,
): Promise<BackupRecord[]> {
  const latest = await context.catalog.overview.latestBackups(context.clock.now());
  const newest = latest.flatMap(({ good, server, database }) =>
    good?.kind === "dump" && selects(server, database) ? [good] : [],
  );
  if (name !== undefined) return newestOf(await findDatabase(context, name), name, newest);
  if (words.length === 0) {
    const { owns } = await ownershipOf(context);
    // A host without servers is there to test the backups of others.
    const isOwn = (one: BackupRecord) => context.config.server.length === 0 || owns(one);
    return newest.filter(
      (one) => isOwn(one) && !restoreTestFor(context.config, one.server, one.database).excluded,
    );
  }
  const chosen = new Map<string, BackupRecord>();
  for (const word of words)
    for (const backup of await meantBy(context, word, newest)) chosen.set(backup.id, backup);
  return [...chosen.values()];
}

/** The name of a database, or the id of a backup; a database's name comes first. */
async function meantBy(
  context: JobContext,
  word: string,
  newest: readonly BackupRecord[],
): Promise<BackupRecord[]> {
  const named = await findDatabase(context, word).catch((error) => {
    if (error instanceof Pg321Error && /^[0-9a-f-]{1,36}$/i.test(word)) return undefined;
    throw error;
  });
  if (named) return newestOf(named, word, newest);
  const backup = await findBackup(context, word);
  refuseGlobals(backup, "restore-test");
  return [backup];
}

/** Throws code `usage` if the database has no good backup. */
function newestOf(named: NamedDatabase, word: string, newest: readonly BackupRecord[]): BackupRecord[] {
  const found = newest.filter(
    ({ server, database }) => database === named.database && (named.server ?? server) === server,
  );
  if (found.length > 0) return found;
  throw new Pg321Error("usage", `no good backup of database "${word}"`, {
    hint: "pg321 list shows what there is",
  });
}

/**
 * The storages to test a backup from, in turn: first the one whose copy of this database was restored longest ago, or
 * never; only `from` if it is given. Copies known to be damaged come last.
 */
export async function storagesInTurn(
  context: JobContext,
  backup: BackupRecord,
  from: string | undefined,
): Promise<Storage[]> {
  const { catalog } = context;
  const copies = await catalog.copies(backup.id);
  const readable = storagesToRead(context, backup, copies, from);
  const tested = await catalog.restoreTests.latestByStorage(backup.server, backup.database);
  const isConfirmed = ({ name }: Storage) =>
    copies.some(({ storage, state }) => storage === name && state === "CONFIRMED");
  const lastOf = ({ name }: Storage) => tested.find(({ storage }) => storage === name)?.finished_at ?? "";
  return readable.toSorted(
    (a, b) =>
      Number(isConfirmed(b)) - Number(isConfirmed(a)) ||
      (lastOf(a) < lastOf(b) ? -1 : lastOf(a) > lastOf(b) ? 1 : 0),
  );
}
