import { CREATING, type Login, MIGRATING, rightError } from "./errors.ts";
import { MIGRATIONS } from "./migration/migrations.ts";
import type { Transaction } from "./transactions.ts";

/** Whether the role may make the schema, or tables in a schema that is there, and owns what is in it. */
const MAY_MAKE = `SELECT to_regnamespace('pg321') IS NOT NULL AS is_there, CASE WHEN to_regnamespace('pg321') IS NULL THEN has_database_privilege(current_database(), 'CREATE')
    ELSE has_schema_privilege('pg321', 'CREATE') AND has_schema_privilege('pg321', 'USAGE') AND NOT EXISTS (
      SELECT 1 FROM pg_class WHERE relnamespace = to_regnamespace('pg321') AND NOT pg_has_role(relowner, 'USAGE')) END AS may_make`;

/** The tables and sequences that the role may not use. A sequence of an identity column needs no right. */
const NOT_GRANTED = `SELECT relname AS name FROM pg_class WHERE relnamespace = to_regnamespace('pg321')
    AND relname <> 'schema_version' AND CASE relkind
      WHEN 'r' THEN NOT (has_table_privilege(oid, 'SELECT') AND has_table_privilege(oid, 'INSERT')
        AND has_table_privilege(oid, 'UPDATE') AND has_table_privilege(oid, 'DELETE'))
      WHEN 'S' THEN NOT has_sequence_privilege(oid, 'USAGE')
        AND NOT EXISTS (SELECT 1 FROM pg_depend WHERE objid = pg_class.oid AND deptype = 'i') END ORDER BY 1`;

const NAMED_MAX = 5;

/** Throws the error of a role that may not make all of the schema, or bring what is there to the newest version. */
export async function requireMaking(
  { rows }: Transaction,
  login: Login,
  doing: typeof CREATING | typeof MIGRATING,
): Promise<void> {
  const [found] = await rows<{ is_there: boolean; may_make: boolean }>(MAY_MAKE);
  if (found?.may_make === true) return;
  // The words of the server for who tries it.
  const what = found?.is_there ? "schema pg321" : `database ${login.database}`;
  throw rightError(login, doing, `permission denied for ${what}`);
}

/** What `requireUse` asks for. */
export const USING = "work with it";

/** Throws the error of a role that may not work with a schema of this version, by default the newest. */
export async function requireUse(
  transaction: Transaction,
  login: Login,
  version = MIGRATIONS.length,
): Promise<void> {
  if (version === 0) return await requireMaking(transaction, login, CREATING);
  if (version < MIGRATIONS.length) await requireMaking(transaction, login, MIGRATING);
  const names = (await transaction.rows<{ name: string }>(NOT_GRANTED)).map(({ name }) => name);
  if (names.length === 0) return;
  const more = names.length > NAMED_MAX ? ` and ${names.length - NAMED_MAX} more` : "";
  const denied = `permission denied for ${names.slice(0, NAMED_MAX).join(", ")}${more}`;
  throw rightError(login, USING, denied);
}
