import type { Connection } from "./connection.ts";

/** What identifies a server and its physical copies; undefined if the role may not see it, as at some providers. */
export async function systemIdentifier(connection: Connection): Promise<string | undefined> {
  const ask = connection.run(
    "read the system identifier",
    (sql) => sql<{ id: string }[]>`select system_identifier::text as id from pg_control_system()`,
  );
  return await ask.then(
    (rows) => rows[0]?.id,
    () => undefined,
  );
}
