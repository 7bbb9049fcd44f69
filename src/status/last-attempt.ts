import type { Catalog } from "../catalog/catalog.ts";
import type { BackupStatus } from "../catalog/records.ts";
import type { DatabaseStatus } from "./report.ts";

export interface Attempt {
  status: BackupStatus;
  started_at: string;
  error: string | null;
}

/** The newest attempt at a database, also if it failed before the database's turn. An older daemon knows no such. */
export function lastAttempt({ server_failure = null, last_attempt }: DatabaseStatus): Attempt | null {
  if (server_failure === null) return last_attempt;
  return { status: "FAILED", started_at: server_failure.at, error: server_failure.error };
}

export type ServerFailures = ReadonlyMap<string, { at: string; error: string }>;

/** The servers whose databases could not be listed by the last backup run, by their open alerts. */
export async function serverFailures(catalog: Pick<Catalog, "alerts">): Promise<ServerFailures> {
  const open = await catalog.alerts({ open: true });
  return new Map(
    open.flatMap(({ key, server, database, last_at, message }) =>
      server !== null && database === null && key === `backup ${server}`
        ? [[server, { at: last_at, error: message }] as const]
        : [],
    ),
  );
}

/** The failure of a database's server, unless the database was tried since. */
export function failureSince(
  failures: ServerFailures,
  { server }: { server: string },
  ended: { started_at: string } | null,
): DatabaseStatus["server_failure"] {
  const failure = failures.get(server) ?? null;
  return failure && (ended === null || ended.started_at < failure.at) ? failure : null;
}
