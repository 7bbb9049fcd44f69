import { messageOf } from "../../base/errors.ts";
import { plural } from "../../base/text/amounts.ts";
import type { BackupRecord, RestoreTestCheck } from "../../catalog/records.ts";
import type { SqlCheckConfig } from "../../config/config.ts";
import { serverPattern } from "../../config/database-pattern.ts";
import { globPattern } from "../../config/glob.ts";
import type { Connection } from "../../postgres/connection.ts";
import type { LeftOutOfDump } from "../../postgres/counts/left-out.ts";
import type { RestoreFault } from "../load/faults.ts";
import { faultText } from "../load/faults.ts";

/** Errors and names in the detail of one check. */
const SHOWN_MAX = 20;

/** Errors of the server or the host, which say nothing about the backup. */
const OF_SERVER =
  /No space left on device|could not (extend|write to) file|out of memory|out of shared memory|terminating connection|server closed the connection|the database system is|no connection to the server/i;

/** The words of the server about it; undefined if the error is of another kind. */
export function serverError({
  message,
  detail,
}: Pick<RestoreFault, "message" | "detail">): string | undefined {
  return OF_SERVER.exec(`${message} ${detail ?? ""}`)?.[0];
}

/** The errors that the config allows, and the others. */
export function sortFaults(
  faults: readonly RestoreFault[],
  allowed: readonly string[],
  left: LeftOutOfDump | undefined,
): { fine: RestoreFault[]; bad: RestoreFault[] } {
  const isAllowed = allowed.map(matcher);
  const isFine = (fault: RestoreFault) =>
    isOfLeftOut(fault, left) ||
    isAllowed.some((matches) => matches(faultText(fault)) || matches(fault.message));
  return { fine: faults.filter(isFine), bad: faults.filter((fault) => !isFine(fault)) };
}

/** Whether an object (a foreign key, a view) needs a table that the config left out of the dump. */
function isOfLeftOut({ message }: RestoreFault, left: LeftOutOfDump | undefined): boolean {
  const name = /relation "([^"]+)" does not exist/.exec(message)?.[1];
  return left?.tables.some((table) => `${table.schema}.${table.name}` === name) ?? false;
}

/** pg_restore's errors, without those that the config allows; these are shown too. */
export function restoreCheck(
  { fine, bad }: ReturnType<typeof sortFaults>,
  left_out: readonly string[],
): RestoreTestCheck {
  const details = [
    ...(bad.length > 0 ? [listOf(bad.map(faultText))] : []),
    ...(fine.length > 0 ? [`allowed: ${listOf(fine.map(faultText))}`] : []),
    ...(left_out.length > 0 ? [`not restored: ${listOf(left_out)}`] : []),
  ];
  return {
    name: "pg_restore",
    is_ok: bad.length === 0,
    expected: plural(0, "error"),
    found: plural(bad.length, "error"),
    detail: details.length > 0 ? details.join("; ") : null,
  };
}

/** A text stands for itself anywhere in the message, a glob for the whole of it. */
function matcher(written: string): (message: string) => boolean {
  const pattern = globPattern(written);
  return pattern ? (message) => pattern.test(message) : (message) => message.includes(written);
}

export function listOf(texts: readonly string[]): string {
  const more = texts.length > SHOWN_MAX ? `; and ${texts.length - SHOWN_MAX} more` : "";
  return `${texts.slice(0, SHOWN_MAX).join("; ")}${more}`;
}

/** The queries of `[[restore_test.check]]` for this database, with their answers. */
export async function sqlChecks(
  connection: Connection,
  { server, database }: Pick<BackupRecord, "server" | "database">,
  checks: readonly SqlCheckConfig[],
  signal: AbortSignal,
): Promise<RestoreTestCheck[]> {
  const results: RestoreTestCheck[] = [];
  for (const check of checks) {
    if (!check.databases.some((written) => serverPattern(written).matches(server, database))) continue;
    results.push(await sqlCheck(connection, check, signal));
  }
  return results;
}

async function sqlCheck(
  connection: Connection,
  { name, sql: query, expect: expected, timeout_ms }: SqlCheckConfig,
  signal: AbortSignal,
): Promise<RestoreTestCheck> {
  const about = { name: `check ${name}`, expected };
  try {
    const rows = await connection.run(`answer the check "${name}"`, async (sql) => {
      await sql.unsafe(`set statement_timeout = ${timeout_ms}; set search_path = "$user", public`).simple();
      return sql.unsafe(query).values();
    });
    const value: unknown = rows[0]?.[0];
    const found = value === undefined ? null : value === null ? null : textOf(value);
    const detail = rows.length === 0 ? "the query gave no row" : value === null ? "the answer is NULL" : null;
    return { ...about, is_ok: found === expected, found, detail };
  } catch (error) {
    // The time of the whole test is up, or it was stopped: this is no answer of the query.
    if (signal.aborted) throw error;
    const isLate = /canceling statement due to statement timeout/.test(messageOf(error));
    const late = `no answer within ${timeout_ms / 1000} s, the timeout of this check`;
    return { ...about, is_ok: false, found: null, detail: isLate ? late : messageOf(error) };
  }
}

function textOf(value: unknown): string {
  if (value instanceof Date) return value.toISOString();
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}
