import { Pg321Error } from "../../base/errors.ts";
import { shellQuoted } from "../../base/text/shell.ts";
import { backupWord } from "../../base/text/states.ts";
import { closest } from "../../base/text/suggest.ts";
import { timeText } from "../../base/text/zoned-time.ts";
import type { Catalog } from "../../catalog/catalog.ts";
import { backupName } from "../../catalog/globals.ts";
import type { BackupRecord, CopyRecord, CopyState } from "../../catalog/records.ts";
import { atFullSpeed } from "../../storage/rate-limit.ts";
import type { Storage } from "../../storage/storage.ts";
import type { JobContext } from "../context.ts";
import { storageNamed } from "../storages.ts";
import { findDatabase, knownServers } from "./find-database.ts";
import { shortId } from "./object-key.ts";

/** Ids with fewer common characters are not similar. */
const COMMON_MIN = 3;

/** The backup with this id or unambiguous prefix of an id. Throws code `usage`, with the id that may be meant. */
export async function findBackup(
  { catalog, clock }: Pick<JobContext, "catalog" | "clock">,
  prefix: string,
): Promise<BackupRecord> {
  if (!/^[0-9a-f-]{1,36}$/i.test(prefix)) {
    const latest = await catalog.overview.latestBackups(clock.now());
    const named = latest.find(({ server, database }) => [database, `${server}/${database}`].includes(prefix));
    throw new Pg321Error("usage", `"${prefix}" is not a backup's id`, {
      hint: named?.good
        ? `it is the name of a database, whose newest good backup is ${shortId(named.good.id)}`
        : "pg321 list shows the ids; the first few characters are enough",
    });
  }
  const [found, second] = await catalog.backupsByPrefix(prefix.toLowerCase(), 2);
  if (!found)
    throw new Pg321Error("usage", `no backup's id begins with "${prefix}"`, {
      hint: await similarId(catalog, prefix),
    });
  if (second) {
    const both = [found, second].map(
      (backup) => `${backup.id} (${backupName(backup)}, ${timeText(backup.started_at)})`,
    );
    throw new Pg321Error("usage", `the ids of several backups begin with "${prefix}": ${both.join(", ")}`, {
      hint: "give more characters of the id",
    });
  }
  return found;
}

/** The id with the longest common beginning, if there is one of a few characters; ids are random. */
async function similarId(catalog: Catalog, prefix: string): Promise<string> {
  const wanted = prefix.toLowerCase();
  const gone = await catalog.tombstoneByPrefix(wanted);
  if (gone)
    return `it was removed on ${gone.removed_at.slice(0, 10)} by ${gone.removed_by}: pg321 list --removed`;
  for (let length = wanted.length - 1; length >= COMMON_MIN; length--) {
    const [similar, other] = await catalog.backupsByPrefix(wanted.slice(0, length), 2);
    if (similar && !other)
      return `did you mean ${shortId(similar.id)} (${backupName(similar)}, ${timeText(similar.started_at)})?`;
    if (similar) break;
  }
  return "pg321 list shows the ids";
}

/** The newest good backup of a database (`app` or `server/app`). Throws code `usage`. */
export async function latestBackup(
  context: Pick<JobContext, "catalog" | "clock" | "config">,
  database: string,
): Promise<BackupRecord> {
  const { catalog, clock } = context;
  const candidates: BackupRecord[] = [];
  const servers = await knownServers(context);
  const named = await findDatabase(context, database);
  for (const server of servers.filter((name) => named.server === undefined || named.server === name)) {
    const found = await catalog.newestGood(server, named.database, clock.now());
    if (found) candidates.push(found);
  }
  if (candidates.length > 1) {
    throw new Pg321Error(
      "usage",
      `database "${database}" is backed up from several servers: ${candidates.map(({ server }) => server).join(", ")}`,
      {
        hint: `name it as ${shellQuoted(`SERVER/${database}`)}`,
      },
    );
  }
  const [latest] = candidates;
  if (latest) return latest;
  throw new Pg321Error("usage", `no good backup of database "${database}"`, {
    hint: "pg321 list shows the backups",
  });
}

/** Throws code `usage` if the backup holds the globals of a server: no database can be restored from it. */
export function refuseGlobals(backup: BackupRecord, command: string): void {
  if (backup.kind === "dump") return;
  const id = shortId(backup.id);
  throw new Pg321Error(
    "usage",
    `${command}: backup ${id} holds the globals of server "${backup.server}" (its roles), not a database`,
    { hint: `write its SQL to a file with: pg321 restore ${id} --output globals.sql` },
  );
}

/** States of copies worth reading, best first: a damaged or missing copy may still help if others fail. */
const READABLE: readonly CopyState[] = ["CONFIRMED", "DAMAGED", "MISSING"];

/**
 * The storages to restore a backup from, without their `rate_limit`: confirmed copies first, and of equal ones local
 * before off-site; only `from` if it is given. Throws code `usage` if there is none.
 */
export function storagesToRead(
  context: Pick<JobContext, "storages">,
  backup: BackupRecord,
  copies: readonly CopyRecord[],
  from: string | undefined,
): Storage[] {
  const hint = `see its copies with: pg321 show ${shortId(backup.id)}`;
  if (from !== undefined) requireStorage(context, from);
  if (backup.status === "RUNNING" || backup.status === "INTERRUPTED") {
    const what = `backup ${shortId(backup.id)} is ${backupWord(backup)} and cannot be restored`;
    throw new Pg321Error("usage", what, { hint: "pg321 list shows the other backups" });
  }
  const storages = READABLE.flatMap((state) =>
    copies
      .filter((copy) => copy.state === state && (from === undefined || copy.storage === from))
      .flatMap((copy) => storageNamed(context, copy.storage) ?? [])
      .sort((a, b) => Number(a.settings.off_site) - Number(b.settings.off_site)),
  );
  if (storages.length > 0) return storages.map(atFullSpeed);
  const where = from === undefined ? "in any configured storage" : `in storage "${from}"`;
  throw new Pg321Error("usage", `backup ${shortId(backup.id)} has no copy ${where}`, { hint });
}

/** Throws code `usage` if no configured storage has this name. */
export function requireStorage({ storages }: Pick<JobContext, "storages">, name: string): void {
  const names = storages.map((storage) => storage.name);
  if (names.includes(name)) return;
  const suggestion = closest(name, names);
  throw new Pg321Error("usage", `no storage is named "${name}"`, {
    hint: suggestion ? `did you mean ${suggestion}?` : `the config has ${names.join(", ")}`,
  });
}
