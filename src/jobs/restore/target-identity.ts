import { messageOf } from "../../base/errors.ts";
import { connect, type Endpoint } from "../../postgres/connection.ts";
import { systemIdentifier } from "../../postgres/system-identifier.ts";
import type { JobContext } from "../context.ts";

/** Which database a restore filled: another one of the same name, also on a new server there, has other values. */
export interface TargetIdentity {
  /** The system identifier of its server; null if it could not be read. */
  target_system: string | null;
  /** Renaming a database keeps it. */
  target_oid: string | null;
}

/** Never throws: a restore does not need it. */
export async function targetIdentity(
  { log }: Pick<JobContext, "log">,
  target: Endpoint,
): Promise<TargetIdentity> {
  try {
    await using connection = await connect(target);
    const rows = await connection.run(
      "read the OID of the database",
      (sql) => sql<{ oid: string }[]>`
        select oid::text as oid from pg_database where datname = current_database()`,
    );
    const target_system = (await systemIdentifier(connection)) ?? null;
    return { target_system, target_oid: rows[0]?.oid ?? null };
  } catch (error) {
    log.warning("the identity of the target database could not be recorded", { error: messageOf(error) });
    return { target_system: null, target_oid: null };
  }
}
