import { shellQuoted } from "../../base/text/shell.ts";
import type { StorageConfig } from "../../config/config.ts";
import { quoteIdentifier } from "../../postgres/archive/sql-text.ts";
import type { Block } from "./blocks.ts";
import type { KitBackup, KitCatalog, KitFacts } from "./facts.ts";
import { keyVariables, newestCommands } from "./fetch.ts";
import { asPostgres, databaseWord, streamsCommands } from "./open.ts";

/** Steps that bring back a catalog that was kept in PostgreSQL; nothing for one in a file, which the storages rebuild. */
export function catalogBlocks(facts: KitFacts): Block[] {
  const { catalog } = facts;
  if (!catalog) return [];
  const { place, database, backup } = catalog;
  const about = `The catalog of this installation (its records of backups, holds, alerts and runs) is in the PostgreSQL database \`${database}\`: \`${place}\`. No database needs it to be restored, but pg321 does to work on.`;
  const rebuild =
    "`pg321 cleanup --adopt` rebuilds a lost catalog from the storages, in an empty database that `url` under `[catalog]` names; holds, alerts and the history do not come back.";
  if (!backup)
    return [
      { heading: "The catalog", level: 2 },
      {
        text: `${about} **There was no good backup of it when this kit was made.** ${rebuild}`,
      },
    ];
  return [
    { heading: "The catalog", level: 2 },
    {
      text: `${about} Its newest backup has what was recorded before it; pg321 adds the later backups from the storages. Without that backup: ${rebuild}`,
    },
    {
      text: "First the steps of “Prepare a fresh Debian”, with `apt-get install -y rclone` for a bucket. Then find and fetch the newest backup, from one of these storages:",
    },
    ...facts.storages.flatMap(({ settings }) => fetchBlocks(facts, settings, backup)),
    ...openBlocks(facts, catalog, backup),
    ...useBlocks(catalog),
  ];
}

function fetchBlocks({ storages, host }: KitFacts, storage: StorageConfig, { record }: KitBackup): Block[] {
  const folder = record.object_key.split("/").slice(0, -1).join("/");
  const names = keyVariables(storages.map(({ settings }) => settings)).get(storage.name);
  if (storage.type === "s3" && !names) return [];
  return [
    { heading: `The catalog from ${storage.name}`, level: 3 },
    ...(storage.type === "local"
      ? [{ text: `The directory \`${storage.path}\` of host ${host}: mount its disk here under that path.` }]
      : []),
    { commands: newestCommands(storage, folder, names) },
  ];
}

/** The files have other names than those of the kit: they are newer. */
function openBlocks(
  { hasStreams }: KitFacts,
  { database, user, hasPassword }: KitCatalog,
  backup: KitBackup,
): Block[] {
  const trust = backup.signer === undefined ? "" : ` --signer ${shellQuoted(backup.signer)}`;
  const unseal = `python3 unseal.py -i identity.txt${trust}`;
  const target = databaseWord(database);
  const whole = `${asPostgres(`pg_restore --exit-on-error -d ${target}`)} < catalog.dump && echo restored`;
  const split = `head -n 1 "$file" | grep -aqx 'pg321 sealed 2'`;
  return [
    { heading: "Open and restore the catalog", level: 3 },
    { text: "The first line must end with `OK`, and each `echo` must print its word." },
    {
      commands: [
        'file=$(basename "$manifest" .json)',
        `sum=$(sed -nE 's/.*"object_sha256": ?"([0-9a-f]{64})".*/\\1/p' "$manifest")`,
        'echo "$sum  $file" | sha256sum -c',
        ...(hasStreams
          ? [`if ${split}; then`, `    ${unseal} --members catalog "$file" && echo opened`, "else"]
          : []),
        'case "$file" in',
        `    *.enc) ${unseal} "$file" > catalog.packed && echo opened ;;`,
        '    *) cp "$file" catalog.packed ;;',
        "esac",
        'case "$file" in',
        "    *.zst*) zstd -d -f catalog.packed -o catalog.dump ;;",
        "    *.gz*) gzip -dc catalog.packed > catalog.dump ;;",
        "    *) mv catalog.packed catalog.dump ;;",
        "esac",
        ...(hasStreams ? ["fi"] : []),
      ],
    },
    {
      text: `Then the role and the database, on the server that is to hold the catalog. That the role exists already does no harm.`,
    },
    {
      commands: [
        `${asPostgres("psql -X -q -d postgres")} <<'END'`,
        `CREATE ROLE ${quoteIdentifier(user)} LOGIN;`,
        `CREATE DATABASE ${quoteIdentifier(database)} OWNER ${quoteIdentifier(user)} TEMPLATE template0 ENCODING 'UTF8';`,
        "END",
        ...(hasStreams
          ? [
              "if [ -d catalog ]; then",
              ...streamsCommands("catalog", target, true).map((line) => `    ${line}`),
              "else",
            ]
          : []),
        hasStreams ? `    ${whole}` : whole,
        ...(hasStreams ? ["fi"] : []),
      ],
    },
    ...(hasPassword
      ? [
          {
            text: `Give the role the password that \`catalog.url\` has, or a new one: \`\\password ${user}\` in \`runuser -l postgres -c 'psql -X -d postgres'\`.`,
          },
        ]
      : []),
  ];
}

function useBlocks({ place }: KitCatalog): Block[] {
  return [
    { heading: "Let pg321 use the catalog", level: 3 },
    {
      text: `Put back the pg321 executable, the config, the credentials and the keys: by hand, or with \`pg321 restore-host FILE\`. In the config, \`url\` under \`[catalog]\` must lead to the new server; it was \`${place}\`. Start the service only afterwards.`,
    },
    {
      commands: [
        "pg321 list             # the backups from before the backup of the catalog",
        "pg321 cleanup --adopt  # adds those that were made later, and settles what was under way; deletes no backup",
        "pg321 verify           # reads the newest backup of each database",
      ],
    },
    {
      text: "Set again the holds that are newer than the backup of the catalog. Copies that were deleted since then are still listed, until `pg321 verify --all` reports them as missing.",
    },
  ];
}
