import { messageOf } from "../base/errors.ts";
import { shellQuoted } from "../base/text/shell.ts";
import { backupName } from "../catalog/globals.ts";
import type { AlertRecord } from "../catalog/records.ts";
import { databasePattern } from "../config/database-pattern.ts";
import { type IdlePattern, idlePatterns } from "../config/idle-patterns.ts";
import type { AlertRequest } from "./alert.ts";
import { raiseAlert, resolveAlert, supersedeAlert } from "./alert.ts";
import type { AlertContext } from "./alert-context.ts";
import { globalsKey, passwordsKey } from "./password-alerts.ts";

/** How the keys of these alerts begin. */
export const GONE_KEY = "gone ";
export const PATTERN_KEY = "pattern ";

interface Place {
  server: string;
  database: string;
}

/** A database, or a whole server. */
type NullablePlace = Pick<Place, "server"> & { database: string | null };

/**
 * Raises one alert for each selected database that is no longer on its server, and one for each name or glob in the
 * config that matches no database; resolves those that no longer apply. `listed`: the servers whose databases have just
 * been listed, each with those of its globs that matched none. `failing`: databases named in the config that are missing,
 * so that the run that has listed them raises the alert about their backups. Never throws: it fails no job.
 */
export async function alertSelection(
  context: AlertContext,
  listed: ReadonlyMap<string, readonly string[]>,
  failing: readonly Place[] = [],
): Promise<void> {
  if (listed.size === 0) return;
  try {
    const records = await context.catalog.overview.databases();
    const backedUp = new Set((await context.catalog.overview.latestBackups(context.clock.now())).map(nameOf));
    const isConfigured = ({ server }: Place) => context.config.server.some(({ name }) => name === server);
    const known = records.filter(isConfigured);
    const missing = known.filter(
      (record) => record.gone_at !== null && backedUp.has(nameOf(record)) && isSelected(context, record),
    );
    const gone = await withoutOtherAlert(context, missing, failing);
    await syncAlerts(context, GONE_KEY, gone.map(goneAlert), {
      isJudged: () => true,
      resolution: ({ server, database }) => {
        const isBack = known.some(
          (one) => nameOf(one) === nameOf({ server, database }) && one.gone_at === null,
        );
        if (isBack) return `${server}/${database} is back on its server`;
        return `${server}/${database} has no backup left, or the config no longer selects it`;
      },
    });
    // A pattern that matches a removed database with backups is not a typing error: the alert above covers that database.
    const matchable = known.filter((record) => record.gone_at === null || backedUp.has(nameOf(record)));
    const own = [...listed].flatMap(([server, globs]) =>
      globs
        .filter(
          (glob) =>
            !matchable.some((one) => one.server === server && databasePattern(glob).matches(one.database)),
        )
        .map((written) => ({
          holder: `databases of the server "${server}"`,
          key: `server ${server}`,
          written,
        })),
    );
    const isJudged = (key: string) => {
      const server = /^pattern server (\S+) /.exec(key)?.[1];
      return server === undefined || listed.has(server) || !isConfigured({ server, database: "" });
    };
    const idle = [...own, ...idlePatterns(context.config, matchable)].map(patternAlert);
    await syncAlerts(context, PATTERN_KEY, idle, {
      isJudged,
      resolution: ({ message }) =>
        message.replace(/ no database$/, " a database now, or was removed from the config"),
    });
    await endUnselected(context, new Set(missing.map(nameOf)));
  } catch (error) {
    context.log.error("the databases that the config selects could not be checked", {
      error: messageOf(error),
    });
  }
}

/**
 * Returns the missing databases that need the alert that they are gone. If the config names a database, its backups fail
 * while it is missing, and the alert about that replaces this one.
 */
async function withoutOtherAlert<P extends Place>(
  context: AlertContext,
  missing: readonly P[],
  failing: readonly Place[],
): Promise<P[]> {
  const open = new Set((await context.catalog.alerts({ open: true })).map(({ key }) => key));
  const goneKey = (place: P) => goneAlert(place).key;
  const isFailed = (place: P) => isNamed(context, place) && open.has(`backup ${backupName(place)}`);
  for (const place of missing.filter(isFailed)) await supersedeAlert(context, goneKey(place));
  const soon = new Set(failing.map(nameOf));
  // An open alert stays until the other one is open: the run may never end.
  return missing.filter(
    (place) => !isFailed(place) && (!soon.has(nameOf(place)) || open.has(goneKey(place))),
  );
}

/**
 * Resolves the alerts about backups of servers and databases that the config no longer selects (a mistyped name, for example),
 * and of databases that are gone: the alert about that replaces them. The backups of a database that the config names
 * still fail: its alert stays.
 */
async function endUnselected(context: AlertContext, gone: ReadonlySet<string>): Promise<void> {
  for (const { key, server, database } of await context.catalog.alerts({ open: true })) {
    if (server === null) continue;
    const name = database === null ? server : `${server}/${database}`;
    const isOfServer = database === null && [passwordsKey(server), globalsKey(server)].includes(key);
    if (key !== `backup ${name}` && !isOfServer) continue;
    if (!isSelected(context, { server, database }))
      await resolveAlert(context, key, `the config no longer selects ${name}`);
    else if (gone.has(nameOf({ server, database })) && !isNamed(context, { server, database }))
      await resolveAlert(context, key, `${name} is no longer on its server`);
  }
}

/** How the keys of alerts about backups of one database begin. */
const ABOUT_BACKUPS = [
  GONE_KEY,
  "shrunk ",
  "unmatched ",
  "hook ",
  "verify ",
  "repair ",
  "cleanup guard ",
  "cleanup future ",
];

/** Resolves the alerts about a database and its backups once it has no backup left. */
export async function endGone(context: AlertContext, { server, database }: Place): Promise<void> {
  const [left] = await context.catalog.backups({ server, database, limit: 1 });
  if (left !== undefined) return;
  for (const alert of await context.catalog.alerts({ open: true })) {
    if (alert.server !== server || alert.database !== database) continue;
    if (ABOUT_BACKUPS.some((kind) => alert.key.startsWith(kind)))
      await resolveAlert(context, alert.key, `${server}/${database} has no backup left`);
  }
}

interface SyncRules {
  /** Whether it is known if the problem with this key continues. */
  isJudged: (key: string) => boolean;
  /** How it is now that the problem is over. */
  resolution: (alert: AlertRecord) => string;
}

/**
 * Raises those that are not open yet, and resolves the open ones of this kind that were judged and are not among them.
 */
async function syncAlerts(
  context: AlertContext,
  kind: string,
  problems: readonly AlertRequest[],
  { isJudged, resolution }: SyncRules,
): Promise<void> {
  const open = (await context.catalog.alerts({ open: true })).filter(({ key }) => key.startsWith(kind));
  for (const problem of problems) {
    if (open.some(({ key }) => key === problem.key)) continue;
    context.log.warning(problem.message);
    await raiseAlert(context, problem);
  }
  for (const alert of open)
    if (isJudged(alert.key) && !problems.some(({ key }) => key === alert.key))
      await resolveAlert(context, alert.key, resolution(alert));
}

/** Whether the config selects a database, or (null) has its server. */
function isSelected({ config }: AlertContext, { server, database }: NullablePlace): boolean {
  return config.server.some(({ name, databases, exclude }) => {
    const isNamedIn = (written: readonly string[]) =>
      written.map(databasePattern).some(({ matches }) => database !== null && matches(database));
    return name === server && (database === null || (isNamedIn(databases) && !isNamedIn(exclude)));
  });
}

/** Whether the config has the name of the database, not only a glob that matches it: a run fails without it. */
function isNamed({ config }: AlertContext, { server, database }: NullablePlace): boolean {
  const own = config.server.filter(({ name }) => name === server).flatMap(({ databases }) => databases);
  return own.map(databasePattern).some(({ name }) => name !== undefined && name === database);
}

function goneAlert({ server, database }: Place): AlertRequest {
  const name = `${server}/${database}`;
  return {
    ...ABOUT,
    server,
    database,
    key: `${GONE_KEY}${name}`,
    message: `database ${name} is no longer on its server: dropped, renamed, or closed to connections`,
    metadata: {
      hint: `delete its backups with: pg321 forget ${shellQuoted(name)}; to keep them and end this alert, add it to exclude`,
    },
  };
}

function patternAlert({ holder, key, written }: IdlePattern): AlertRequest {
  return {
    ...ABOUT,
    server: null,
    database: null,
    key: `${PATTERN_KEY}${key} ${written}`,
    message: `"${written}" in ${holder} matches no database`,
    metadata: { hint: patternHint(written) },
  };
}

const ABOUT = { level: "WARNING", job: "backup", run_id: null, isWithoutReminders: true } as const;

/** Reasons why a pattern may match no database although its author expects it to. */
export function patternHint(written: string): string {
  const isPlain = written.startsWith("=") || !/[*?[/]/.test(written);
  const literal = isPlain ? "" : `; "=${written}" is the database with exactly that name`;
  return `correct databases in the config (names are case-sensitive)${literal}`;
}

function nameOf({ server, database }: { server: string | null; database: string | null }): string {
  return JSON.stringify([server, database]);
}
