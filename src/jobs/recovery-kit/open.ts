import { shellQuoted } from "../../base/text/shell.ts";
import { connectionString } from "../../postgres/libpq.ts";
import { shortId } from "../copies/object-key.ts";
import type { KitBackup } from "./facts.ts";

/**
 * Commands that open a fetched backup and restore it. A dump is opened to `ID.dump`. If it may have been made in several
 * streams, its file decides: a container of several archives is split into the directory `ID`.
 */

/** Checks the hash, then opens the backup. */
export function openCommands({ record, signer }: KitBackup, mayHaveStreams: boolean): string[] {
  const { object_key, object_sha256, encryption, compression } = record;
  const file = shellQuoted(fileOf(object_key));
  const [plain, packed] = [plainOf(record), packedOf(record)];
  const check = `echo ${shellQuoted(`${object_sha256}  ${fileOf(object_key)}`)} | sha256sum -c`;
  const trust = signer === undefined ? "" : ` --signer ${shellQuoted(signer)}`;
  const unseal = `python3 unseal.py -i identity.txt${trust}`;
  const split = `--members ${directoryOf(record)}`;
  const decompress = {
    zstd: [`zstd -d -f ${packed} -o ${plain}`],
    gzip: [`gzip -d -f ${packed}`],
  }[compression];
  if (encryption === "age") {
    const open = [`${unseal} ${file} > ${packed} && echo opened`, ...(decompress ?? [])];
    if (!mayHaveStreams) return [check, ...open];
    return [
      check,
      `if [ "$(head -n 1 ${file})" = 'pg321 sealed 2' ]; then`,
      `    ${unseal} ${split} ${file} && echo opened`,
      "else",
      ...open.map(indented),
      "fi",
    ];
  }
  const copy = packed === fileOf(object_key) ? [] : [`cp ${file} ${packed}`];
  const open = [check, ...copy, ...(decompress ?? [])];
  if (!mayHaveStreams) return open;
  return [
    ...open,
    `if head -n 1 ${plain} | grep -aqx 'pg321 container 1'; then`,
    `    python3 unseal.py ${split} ${plain} && echo opened`,
    "fi",
  ];
}

const ROLE = `("([^"]|"")+"|[a-z_][a-z0-9_$]*)`;

/** The roles are read from the dump: owners, grantees, grantors, those of policies and default privileges. */
export function rolesCommands({ record }: KitBackup, mayHaveStreams: boolean): string[] {
  const [plain, directory] = [plainOf(record), directoryOf(record)];
  return [
    ...(mayHaveStreams
      ? [`dump=${plain}; if [ -d ${directory} ]; then dump=${directory}/schema.dump; fi`]
      : []),
    `pg_restore --create --schema-only -f - ${mayHaveStreams ? '"$dump"' : plain} |`,
    `    grep -E '^(ALTER|GRANT|REVOKE|SET SESSION AUTHORIZATION|CREATE (POLICY|USER MAPPING)) ' |`,
    `    grep -oE '( TO| FROM| FOR ROLE| AUTHORIZATION| MAPPING FOR|^ALTER ROLE) ${ROLE}(, ${ROLE})*' |`,
    `    sed -E 's/^( TO| FROM| FOR ROLE| AUTHORIZATION| MAPPING FOR|ALTER ROLE) //; s/, /\\n/g' | sort -u |`,
    `    sed -E '/^(pg_|postgres$)/d; s/.*/CREATE ROLE &;/' > roles.sql`,
    "cat roles.sql",
    "runuser -l postgres -c 'psql -X -d postgres' < roles.sql",
  ];
}

/** Every new server has this database, so `--create` would fail for it. */
export const EVERYWHERE = "postgres";

export function restoreCommands({ record }: KitBackup, database: string, mayHaveStreams: boolean): string[] {
  const create = database === EVERYWHERE ? "" : "--create ";
  const whole = `${asPostgres(`pg_restore ${create}--exit-on-error -d postgres`)} < ${plainOf(record)} && echo restored`;
  if (!mayHaveStreams) return [whole, ANALYZE];
  const directory = directoryOf(record);
  return [
    `if [ -d ${directory} ]; then`,
    ...streamsCommands(directory, databaseWord(database)).map(indented),
    "else",
    `    ${whole}`,
    "fi",
    ANALYZE,
  ];
}

/** The name of a database for `-d`, quoted for a shell. */
export function databaseWord(database: string): string {
  return shellQuoted(/^[a-z_][a-z0-9_]*$/.test(database) ? database : connectionString(database));
}

export const ANALYZE = "runuser -l postgres -c 'vacuumdb --all --analyze-only --quiet'";

/**
 * Restores a directory of archives; each step only after the one before it. `database` is quoted for a shell; `isMade`: it
 * exists already.
 */
export function streamsCommands(
  directory: string,
  database: string,
  isMade = database === EVERYWHERE,
): string[] {
  const restore = (options: string) => asPostgres(`pg_restore --exit-on-error ${options}`);
  const create = isMade ? `-d ${database}` : "--create -d postgres";
  return [
    `${restore(`${create} --section=pre-data`)} < ${directory}/schema.dump && echo tables &&`,
    `(for archive in ${directory}/data*.dump; do`,
    `    ${restore(`-d ${database}`)} < "$archive" || exit`,
    "done) && echo rows &&",
    `${restore(`--section=post-data -d ${database}`)} < ${directory}/schema.dump && echo restored`,
  ];
}

/** Prints the tablespaces, whose directories must exist. */
export function tablespacesCommands({ record }: KitBackup): string[] {
  return [`sed -n '/^CREATE TABLESPACE /p' ${plainOf(record)}`];
}

export function globalsCommands({ record }: KitBackup): string[] {
  return [`${asPostgres("psql -X -q -d postgres")} < ${plainOf(record)} && echo roles`];
}

export function asPostgres(command: string): string {
  return `runuser -l postgres -c ${shellQuoted(command)}`;
}

function indented(line: string): string {
  return `    ${line}`;
}

export function fileOf(key: string): string {
  return key.split("/").at(-1) ?? key;
}

function plainOf({ id, kind }: KitBackup["record"]): string {
  return `${shortId(id)}.${kind === "globals" ? "sql" : "dump"}`;
}

function directoryOf({ id }: KitBackup["record"]): string {
  return shortId(id);
}

function packedOf(record: KitBackup["record"]): string {
  return `${plainOf(record)}${{ zstd: ".zst", gzip: ".gz" }[record.compression] ?? ""}`;
}
