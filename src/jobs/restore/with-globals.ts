import { Pg321Error } from "../../base/errors.ts";
import { GLOBALS_DATABASE } from "../../catalog/globals.ts";
import type { BackupRecord } from "../../catalog/records.ts";
import { needsOf } from "../../postgres/archive/archive.ts";
import type { ArchiveContents, ArchiveEntry } from "../../postgres/archive/format.ts";
import type { Connection } from "../../postgres/connection.ts";
import { applyGlobals, type SkippedStatement, targetRoles } from "../../postgres/globals/apply.ts";
import type { Globals } from "../../postgres/globals/parse.ts";
import { parseGlobals } from "../../postgres/globals/parse.ts";
import type { GlobalsPlan } from "../../postgres/globals/plan.ts";
import { planGlobals } from "../../postgres/globals/plan.ts";
import type { Lack } from "../../postgres/restore/preflight.ts";
import type { JobContext } from "../context.ts";
import { storagesToRead } from "../copies/find-backup.ts";
import { openBackup } from "../copies/read-backup.ts";
import { goodBackups, newestGood } from "./good-backups.ts";

/** What a restore creates, or would create, of the globals of the server that was backed up. */
export interface GlobalsReport {
  backup_id: string;
  started_at: string;
  /** Roles that the target lacked. */
  roles: string[];
  /** The statements, without passwords and the values of settings. */
  statements: string[];
  /** Memberships and superusers that were not created, each with its reason. */
  refused: string[];
  /** Statements about details of roles that failed: those of settings, comments and labels. */
  skipped: SkippedStatement[];
  /** Roles that can log in and got no password, because the backup has none. */
  without_password: string[];
  /** Tablespaces that the target lacks; creating them needs a directory on its host. */
  tablespaces: { name: string; sql: string }[];
}

/** The globals of one backup, parsed, and the plan for a target. */
export interface PlannedGlobals {
  plan: GlobalsPlan;
  report: GlobalsReport;
}

/** More text than the globals of any server. */
const GLOBALS_BYTES_MAX = 256 * 1024 * 1024;

/**
 * The globals to use for a dump: of its run, otherwise the newest before it, otherwise the first after it. Throws code
 * `usage` if there are none.
 */
export async function globalsFor(context: JobContext, dump: BackupRecord): Promise<BackupRecord> {
  const { run_id, started_at } = dump;
  const of = { server: dump.server, database: GLOBALS_DATABASE };
  const before =
    (await newestGood(context, "globals", { ...of, run_id })) ??
    (await newestGood(context, "globals", { ...of, startedBy: started_at }));
  if (before) return before;
  let first: BackupRecord | undefined;
  for await (const one of goodBackups(context, "globals", { ...of, startedAfter: started_at })) first = one;
  if (first) return first;
  throw new Pg321Error("usage", `there is no good backup of the globals of server "${dump.server}"`, {
    hint: "restore without the globals; --create-roles creates the roles without login, password and memberships",
  });
}

/** Reads and parses a backup of globals. Throws code `verification`, `storage` or `key`. */
export async function readGlobals(
  context: JobContext,
  backup: BackupRecord,
  /** The only storage to read from. */
  from: string | undefined,
): Promise<Globals> {
  const storages = storagesToRead(context, backup, await context.catalog.copies(backup.id), from);
  await using readable = await openBackup(context, backup, storages, context.signal);
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of readable.dump) {
    bytes += chunk.length;
    if (bytes > GLOBALS_BYTES_MAX)
      throw new Pg321Error("verification", "the globals are too large to be true");
    chunks.push(Uint8Array.from(chunk));
  }
  return parseGlobals(Buffer.concat(chunks).toString());
}

/** What a target needs of the globals; `needed`: names of roles, or all. Changes nothing. */
export async function planFor(
  target: Connection,
  backup: BackupRecord,
  globals: Globals,
  needed: readonly string[] | "all",
): Promise<PlannedGlobals> {
  const hasPasswords =
    backup.facts?.["passwords"] === true || globals.roles.some(({ password }) => password !== undefined);
  const plan = planGlobals(globals, needed, await targetRoles(target), hasPasswords);
  const { roles, statements, refused, without_password, tablespaces } = plan;
  const report = {
    ...{ backup_id: backup.id, started_at: backup.started_at, roles, refused, without_password, tablespaces },
    statements: statements.map(({ shown }) => shown),
    skipped: [],
  };
  return { plan, report };
}

/** For `restore --with-globals`: what these entries need. */
export async function planForEntries(
  context: JobContext,
  target: Connection,
  dump: BackupRecord,
  archive: { contents: ArchiveContents; entries: readonly ArchiveEntry[]; create: boolean },
  from: string | undefined,
): Promise<PlannedGlobals> {
  const backup = await globalsFor(context, dump);
  const globals = await readGlobals(context, backup, from);
  const { roles, tablespaces } = needsOf(archive.contents, archive.entries, archive.create);
  const planned = await planFor(target, backup, globals, roles);
  const isNeeded = ({ name }: { name: string }) => tablespaces.includes(name);
  return {
    ...planned,
    report: { ...planned.report, tablespaces: planned.report.tablespaces.filter(isNeeded) },
  };
}

/** The lacks that remain once the plan is carried out. */
export function lacksBeside(lacks: readonly Lack[], planned: PlannedGlobals | undefined): Lack[] {
  const created = new Set(planned?.plan.roles);
  return lacks.filter(({ kind, name }) => kind !== "role" || !created.has(name));
}

/** Creates what is planned, in one transaction. */
export async function createGlobals(
  target: Connection,
  { plan, report }: PlannedGlobals,
): Promise<GlobalsReport> {
  if (plan.statements.length === 0) return report;
  return { ...report, skipped: await applyGlobals(target, plan.statements) };
}
