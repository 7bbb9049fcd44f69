import { silentLog } from "../../base/log.ts";
import { backupWord } from "../../base/text/states.ts";
import { backupName, isGlobalsPlace } from "../../catalog/globals.ts";
import type { PeekedBackup, PeekedCatalog, PeekWish } from "../../catalog/sqlite/peek.ts";
import { peekCatalog } from "../../catalog/sqlite/peek.ts";
import { configPath } from "../../config/load.ts";
import { type ConfigNames, readConfigNames } from "../../config/names.ts";
import { becomeStateOwner } from "../../install/state-owner.ts";
import { shortId } from "../../jobs/copies/object-key.ts";
import type { LiveKind } from "../command.ts";
import type { Candidate } from "./request.ts";

export interface Looking {
  /** The beginning of the value, as typed so far. */
  typed: string;
  /** `--config` of the command line. */
  config: string | undefined;
  env: Record<string, string | undefined>;
}

const OF_BACKUPS: readonly LiveKind[] = ["backup", "good-backup", "held-backup"];

/**
 * Looks values up in config and catalog, newest first where they have a time. Changes neither, and asks no server
 * and no storage. Rejects if the config cannot be read.
 */
export async function liveValues(
  kinds: readonly LiveKind[],
  { typed, config, env }: Looking,
): Promise<Candidate[]> {
  const names = await readConfigNames(configPath(config, env), env);
  const needs = (...some: LiveKind[]) => kinds.some((kind) => some.includes(kind));
  const wish: PeekWish = {
    databases: needs("database", "target"),
    alerts: needs("alert"),
    hosts: needs("host"),
    backups: needs(...OF_BACKUPS) ? typed.toLowerCase() : undefined,
    isGood: needs("good-backup"),
    isHeld: needs("held-backup"),
  };
  const isForCatalog = wish.databases || wish.alerts || wish.hosts || wish.backups !== undefined;
  const peeked = isForCatalog ? await peek(names, wish) : EMPTY;
  return kinds.flatMap((kind) => candidatesOf(kind, { typed, names, peeked }));
}

const EMPTY: PeekedCatalog = { databases: [], backups: [], alerts: [], hosts: [] };

async function peek({ catalog, state_dir }: ConfigNames, wish: PeekWish): Promise<PeekedCatalog> {
  // Completion asks no server.
  if (catalog === undefined) return EMPTY;
  try {
    // SQLite may have to create the index of its log beside the catalog, which the service must be able to use.
    if (await Bun.file(catalog).exists()) await becomeStateOwner(state_dir, silentLog);
    return peekCatalog(catalog, wish);
  } catch {
    return EMPTY;
  }
}

interface Found {
  typed: string;
  names: ConfigNames;
  peeked: PeekedCatalog;
}

function candidatesOf(kind: LiveKind, { typed, names, peeked }: Found): Candidate[] {
  const plain = (values: readonly string[], description: string) =>
    values.map((value) => ({ value, description }));
  switch (kind) {
    case "server":
      return plain(names.servers, "server");
    case "storage":
      return plain(names.storages, "storage");
    case "host":
      return plain(peeked.hosts, "host");
    case "notifier":
      return plain(names.notifiers, "notifier");
    case "alert":
      return peeked.alerts.map(({ id, level, message }) => ({
        value: shortId(id),
        description: `${level} ${message}`,
      }));
    case "database":
      return databaseWords(typed, names, peeked);
    case "target":
      return allDatabases(names, peeked).map(({ server, database }) => ({
        value: `${server}/${database}`,
        description: "database",
      }));
    case "backup":
    case "good-backup":
    case "held-backup":
      return peeked.backups.map((backup) => ({
        value: shortId(backup.id),
        description: backupText(backup),
      }));
  }
}

function backupText(backup: PeekedBackup): string {
  const { started_at: at, status } = backup;
  return `${backupName(backup)} ${at.slice(0, 10)} ${at.slice(11, 16)}Z ${backupWord({ status, error: null })}`;
}

interface Place {
  server: string;
  database: string;
}

function allDatabases(names: ConfigNames, peeked: PeekedCatalog): Place[] {
  const places = [...names.databases, ...peeked.databases].filter((place) => !isGlobalsPlace(place));
  return [...new Map(places.map((place) => [`${place.server}/${place.database}`, place])).values()];
}

/**
 * The word that names each database on the command line: its name, or SERVER/NAME if several servers have one of that
 * name, or if the name alone would be read otherwise (see `namedDatabase`). After `SERVER/` all of that server.
 */
function databaseWords(typed: string, names: ConfigNames, peeked: PeekedCatalog): Candidate[] {
  const all = allDatabases(names, peeked);
  const begun = names.servers.find((server) => typed.startsWith(`${server}/`));
  const count = Map.groupBy(all, ({ database }) => database);
  const isPlain = ({ database }: Place) =>
    count.get(database)?.length === 1 &&
    !database.startsWith("-") &&
    !names.servers.some((server) => database.startsWith(`${server}/`));
  return all
    .filter(({ server }) => begun === undefined || server === begun)
    .map((place) => ({
      value: begun === undefined && isPlain(place) ? place.database : `${place.server}/${place.database}`,
      description: `database of ${place.server}`,
    }));
}
