/*
 * The options of pg_dump that `pg_dump_options` of a [[database]] accepts. Everything that changes what pg321 reads from
 * pg_dump, where that goes, or which database it is, is refused with the reason.
 */

/** Options without a value. */
const FLAGS = [
  "--no-comments",
  "--no-publications",
  "--no-security-labels",
  "--no-subscriptions",
  "--no-toast-compression",
  "--no-unlogged-table-data",
  "--no-policies",
  "--no-privileges",
  "--no-acl",
  "--no-blobs",
  "--no-large-objects",
  "--blobs",
  "--large-objects",
  "--load-via-partition-root",
  "--quote-all-identifiers",
  "--no-statistics",
  "--statistics",
  "--with-statistics",
] as const;

/** Options with a value after `=`, and its form. */
const VALUES: Readonly<Record<string, RegExp>> = {
  "--encoding": /^[A-Za-z0-9_-]+$/,
  "--extra-float-digits": /^(-?\d{1,2})$/,
  "--extension": /^[^\u0000-\u001f]+$/,
  "--include-foreign-data": /^[^\u0000-\u001f]+$/,
};

const CONNECTION = "the connection is that of the [[server]]";
const SELECTION = (key: string) => `use ${key} of the [[database]], which pg321 records with the backup`;
/** Why `--extension=` is refused without `include_tables`. */
export const WITHOUT_INCLUDED_TABLES =
  "without include_tables it makes pg_dump leave out large objects, other extensions, languages, casts, publications and event triggers; use it only beside include_tables, or remove it: a dump of everything has all extensions";
const CUSTOM = "pg321 needs the custom format, which pg_restore reads";

const IGNORED = "pg_dump ignores it in an archive";

/** Why an option is refused; short forms stand beside the long ones. */
const REFUSED: Readonly<Record<string, string>> = {
  ...{ "--format": CUSTOM, "-F": CUSTOM, "--inserts": CUSTOM, "--column-inserts": CUSTOM },
  ...{ "--attribute-inserts": CUSTOM, "--rows-per-insert": CUSTOM, "--on-conflict-do-nothing": CUSTOM },
  ...{ "--file": "pg321 reads the dump from a pipe", "-f": "pg321 reads the dump from a pipe" },
  ...{ "--jobs": "use jobs of the [[database]]", "-j": "use jobs of the [[database]]" },
  ...{ "--compress": "use compression of the [[database]]", "-Z": "use compression of the [[database]]" },
  "--snapshot": "pg321 gives pg_dump the snapshot in which it counts the rows",
  "--no-synchronized-snapshots": "pg321 gives pg_dump the snapshot in which it counts the rows",
  "--serializable-deferrable": "it cannot use the snapshot in which pg321 counts the rows",
  "--lock-wait-timeout": "use dump.lock_wait_timeout",
  ...{ "--dbname": CONNECTION, "-d": CONNECTION, "--host": CONNECTION, "-h": CONNECTION },
  "--role": CONNECTION,
  ...{ "--port": CONNECTION, "-p": CONNECTION, "--username": CONNECTION, "-U": CONNECTION },
  ...{ "--no-password": CONNECTION, "-w": CONNECTION, "--password": CONNECTION, "-W": CONNECTION },
  ...{ "--schema": SELECTION("include_schemas"), "-n": SELECTION("include_schemas") },
  ...{ "--exclude-schema": SELECTION("exclude_schemas"), "-N": SELECTION("exclude_schemas") },
  ...{ "--table": SELECTION("include_tables"), "-t": SELECTION("include_tables") },
  "--table-and-children": SELECTION("include_tables"),
  ...{ "--exclude-table": SELECTION("exclude_tables"), "-T": SELECTION("exclude_tables") },
  "--exclude-table-and-children": SELECTION("exclude_tables"),
  "--exclude-table-data": SELECTION("exclude_table_data"),
  "--exclude-table-data-and-children": SELECTION("exclude_table_data"),
  ...{ "--schema-only": SELECTION("schema_only"), "-s": SELECTION("schema_only") },
  "--no-data": SELECTION("schema_only"),
  ...{ "--data-only": "such a dump cannot be restored alone", "-a": "such a dump cannot be restored alone" },
  "--section": "such a dump cannot be restored alone",
  "--no-schema": "such a dump cannot be restored alone",
  "--statistics-only": "such a dump cannot be restored alone",
  "--filter": "pg321 could not record what the file selects",
  "--exclude-extension": "its objects could not be recorded as missing",
  "--strict-names": "pg321 raises an alert for a pattern that matches nothing",
  ...{
    "--clean": "choose it at the restore: pg321 restore --clean",
    "-c": "choose it at the restore: --clean",
  },
  ...{
    "--create": "choose it at the restore: pg321 restore --create",
    "-C": "choose it at the restore: --create",
  },
  "--if-exists": "choose it at the restore: pg321 restore --clean",
  "--disable-triggers": "pg_restore decides this",
  "--use-set-session-authorization": "pg_restore decides this",
  "--disable-dollar-quoting": "it changes nothing in a restored database",
  ...{
    "--no-tablespaces": IGNORED,
    "--no-table-access-method": IGNORED,
    "--no-owner": IGNORED,
    "-O": IGNORED,
  },
  "--enable-row-security": "the backup would lack the rows that the role may not see, and nobody would know",
  "--no-sync": "pg321 writes no file for it",
  "--binary-upgrade": "it is meant for pg_upgrade",
  "--verbose": "its messages would hide the warnings",
  "-v": "its messages would hide the warnings",
  ...{ "--help": "it makes no dump", "-?": "it makes no dump", "--version": "it makes no dump" },
};

/** Accepted short forms. */
const SHORT: Readonly<Record<string, string>> = {
  ...{ "-x": "--no-privileges", "-B": "--no-large-objects", "-b": "--large-objects" },
};

/** The mistake in an option as written in the config; undefined if pg_dump gets it. */
export function dumpOptionProblem(written: string): string | undefined {
  const at = written.indexOf("=");
  const name = at < 0 ? written : written.slice(0, at);
  const value = at < 0 ? undefined : written.slice(at + 1);
  if (FLAGS.some((flag) => flag === name))
    return value === undefined ? undefined : `found a value after ${name}, which takes none`;
  const form = Object.hasOwn(VALUES, name) ? VALUES[name] : undefined;
  if (form !== undefined)
    return value !== undefined && form.test(value)
      ? undefined
      : `found "${written}", expected a value after the sign "=": ${name}=VALUE`;
  const short = Object.hasOwn(SHORT, written) ? SHORT[written] : undefined;
  if (short !== undefined) return `found "${written}", expected its long form ${short}`;
  const key = name.startsWith("--") ? name : name.slice(0, 2);
  if (Object.hasOwn(REFUSED, key)) return `${key} is refused: ${REFUSED[key]}`;
  return `found "${name}", which is not an option that pg321 passes to pg_dump; expected one of ${allowedOptions().join(", ")}`;
}

function allowedOptions(): string[] {
  return [...FLAGS, ...Object.keys(VALUES).map((name) => `${name}=VALUE`)];
}

/** Whether pg_dump takes an option as a selection, which is harmless only beside selected tables. */
export function isForIncludedTables(option: string): boolean {
  return option.startsWith("--extension=");
}
