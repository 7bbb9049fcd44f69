import { shellQuoted } from "../../base/text/shell.ts";
import type { StorageConfig } from "../../config/config.ts";
import { shortId } from "../copies/object-key.ts";
import type { Block } from "./blocks.ts";
import type { KitBackup, KitDatabase, KitFacts } from "./facts.ts";
import {
  askForKey,
  copyCommand,
  FETCH_TOOLS,
  fetchCommands,
  type KeyVariables,
  keyVariables,
  listCommand,
} from "./fetch.ts";

const DIRECTORY = "/root/recovery";

/** The steps that every restore needs once, on a fresh Debian. */
export function prepareBlocks(facts: KitFacts): Block[] {
  const all = facts.databases.flatMap(({ backups }) => backups);
  const isSealed = all.some(({ record }) => record.encryption === "age");
  const variables = keyVariables(facts.storages.map(({ settings }) => settings));
  const packages = [
    "postgresql",
    ...(isSealed ? ["age", "python3-cryptography"] : []),
    ...(all.some(({ record }) => record.compression === "zstd") ? ["zstd"] : []),
    "curl",
  ];
  return [
    { heading: "Prepare a fresh Debian", level: 2 },
    { text: "Once, as root. All commands of this page are for one root shell (`bash`)." },
    {
      commands: [
        "apt-get update",
        `apt-get install -y ${packages.join(" ")}`,
        `mkdir -p -m 0700 ${DIRECTORY}`,
        `cd ${DIRECTORY}`,
      ],
    },
    ...versionBlocks(all),
    ...(isSealed
      ? [
          {
            text: `Put two files into \`${DIRECTORY}\`: \`unseal.py\` of this kit, and your identity file as \`identity.txt\`. From paper, type the lines \`AGE-SECRET-KEY-1…\`; every letter counts, and is checked.`,
          },
        ]
      : []),
    ...(variables.size > 0
      ? [
          {
            text: "For each bucket that you fetch from, enter its access key. Paste one line at a time: it asks for the answer.",
          },
          { commands: [...variables].map(([storage, names]) => askForKey(storage, names)) },
        ]
      : []),
  ];
}

/** pg_restore must not be older than the pg_dump that made a dump. */
function versionBlocks(backups: readonly KitBackup[]): Block[] {
  const majors = backups.map(({ record }) => Number.parseInt(record.pg_dump_version ?? "", 10));
  const newest = Math.max(...majors.filter((major) => !Number.isNaN(major)));
  if (!Number.isFinite(newest)) return [];
  return [
    {
      text: `The newest of these dumps was made with pg_dump ${newest}: PostgreSQL ${newest} or newer restores them. \`pg_restore --version\` shows what Debian has; if that is older, take PostgreSQL's own packages: \`apt-get install -y postgresql-common\`, then \`/usr/share/postgresql-common/pgdg/apt.postgresql.org.sh -y\`, then \`apt-get install -y postgresql-${newest}\`.`,
    },
  ];
}

/** The steps that restore the newest good backup of one database. */
export function databaseBlocks(facts: KitFacts, { server, database, backups }: KitDatabase): Block[] {
  const [newest, ...older] = backups;
  const name = `${server}/${database}`;
  return [
    { heading: `Restore ${name}`, level: 2 },
    { text: `The newest good backup when this kit was made: ${aboutText(newest)}.` },
    ...fetchBlocks(facts, newest, name),
    { heading: `Open and restore ${name}`, level: 3 },
    {
      text: "The first line must end with `OK`, and each `echo` must print its word; otherwise stop, and fetch the backup from another storage. The dump is your data in plain text: remove it afterwards.",
    },
    { commands: openCommands(newest) },
    {
      text: "The roles that the dump needs. Backups hold no roles: they are made here without password and without login, and memberships and tablespaces are missing. Roles that exist already are reported. Look at `roles.sql` first, and give the roles what they had, for example with `ALTER ROLE app LOGIN PASSWORD '…'`, or from your own `pg_dumpall --globals-only`.",
    },
    { commands: rolesCommands(newest) },
    {
      text: "Then the database, under its own name, with its encoding, locale, owner and rights. If it says that the locale or an extension is missing, install it (`dpkg-reconfigure locales`; the package of the extension: `pg_restore -l FILE.dump | grep EXTENSION` lists them), remove the half-made database with `dropdb`, and run it again. To restore under another name instead, make an empty database with `createdb -T template0 NAME`, and replace `--create … -d postgres` by `-d NAME`.",
    },
    { commands: restoreCommands(newest) },
    ...(older.length === 0
      ? []
      : [
          {
            text: "Older good backups, for the same commands with another key, file name and hash:",
          },
          { list: older.map((backup) => `${aboutText(backup)}, key \`${backup.record.object_key}\``) },
        ]),
  ];
}

function aboutText({ record, storages }: KitBackup): string {
  const { id, started_at, object_bytes, object_sha256, recipients, encryption } = record;
  const opener =
    encryption === "none"
      ? ", not encrypted"
      : recipients === null
        ? ""
        : `, needs the identity of \`${recipients.replaceAll(" ", "` or `")}\``;
  return `\`${shortId(id)}\` of ${started_at.slice(0, 19).replace("T", " ")} UTC, ${object_bytes} bytes, in ${storages.join(", ")}, SHA-256 \`${object_sha256}\`${opener}`;
}

function fetchBlocks(facts: KitFacts, { record, storages }: KitBackup, name: string): Block[] {
  const settings = facts.storages.map((one) => one.settings);
  const variables = keyVariables(settings);
  const file = fileOf(record.object_key);
  // The storages that outlive the loss of this host come first.
  const from = settings
    .filter((one) => storages.includes(one.name))
    .toSorted((a, b) => Number(b.off_site) - Number(a.off_site));
  const unknown = storages.filter((one) => !settings.some((known) => known.name === one));
  return [
    { heading: `Fetch ${name}`, level: 3 },
    { text: "From one of these places, into the working directory:" },
    ...from.flatMap((storage) => storageBlocks(facts, storage, record.object_key, file, name, variables)),
    ...(unknown.length === 0
      ? []
      : [{ text: `Copies are also in ${unknown.join(", ")}, which the config no longer names.` }]),
  ];
}

function storageBlocks(
  { host }: KitFacts,
  storage: StorageConfig,
  key: string,
  file: string,
  name: string,
  variables: ReadonlyMap<string, KeyVariables>,
): Block[] {
  const title = (tool: string) => `${name} from ${storage.name}, with ${tool}`;
  if (storage.type === "local")
    return [
      { heading: title("cp"), level: 4 },
      {
        text: `The directory \`${storage.path}\` of host ${host}: mount its disk here under that path, or put the right path into the command. From another host, \`scp\` copies the same file.`,
      },
      { commands: [copyCommand(storage.path, key, file)] },
    ];
  const names = variables.get(storage.name);
  if (!names) return [];
  const commands = fetchCommands(storage, key, file, names);
  const authority =
    storage.ca_file === undefined
      ? ""
      : ` Its certificate is signed by the authority in \`${storage.ca_file}\` of the old host.`;
  return FETCH_TOOLS.flatMap((tool): Block[] => [
    { heading: title(tool), level: 4 },
    ...(tool === "curl"
      ? authority === ""
        ? []
        : [{ text: authority.trim() }]
      : [{ text: `Needs \`apt-get install -y ${tool === "aws" ? "awscli" : tool}\`.` }]),
    { commands: commands[tool] },
  ]);
}

function openCommands({ record, signer }: KitBackup): string[] {
  const { object_key, object_sha256, encryption, compression } = record;
  const file = shellQuoted(fileOf(object_key));
  const [dump, packed] = [dumpOf(record.id), packedOf(record.id, compression)];
  const lines = [`echo ${shellQuoted(`${object_sha256}  ${fileOf(object_key)}`)} | sha256sum -c`];
  if (encryption === "age") {
    const trust = signer === undefined ? "" : ` --signer ${shellQuoted(signer)}`;
    lines.push(`python3 unseal.py -i identity.txt${trust} ${file} > ${packed} && echo opened`);
  } else if (packed !== fileOf(object_key)) lines.push(`cp ${file} ${packed}`);
  if (compression === "zstd") lines.push(`zstd -d -f ${packed} -o ${dump}`);
  if (compression === "gzip") lines.push(`gzip -d -f ${packed}`);
  return lines;
}

const ROLE = `("([^"]|"")+"|[a-z_][a-z0-9_$]*)`;

/** The roles are read from the dump: owners, grantees, grantors, those of policies and default privileges. */
function rolesCommands({ record }: KitBackup): string[] {
  return [
    `pg_restore --create --schema-only -f - ${dumpOf(record.id)} |`,
    `    grep -E '^(ALTER|GRANT|REVOKE|SET SESSION AUTHORIZATION|CREATE (POLICY|USER MAPPING)) ' |`,
    `    grep -oE '( TO| FROM| FOR ROLE| AUTHORIZATION| MAPPING FOR|^ALTER ROLE) ${ROLE}(, ${ROLE})*' |`,
    `    sed -E 's/^( TO| FROM| FOR ROLE| AUTHORIZATION| MAPPING FOR|ALTER ROLE) //; s/, /\\n/g' | sort -u |`,
    `    sed -E '/^(pg_|postgres$)/d; s/.*/CREATE ROLE &;/' > roles.sql`,
    "cat roles.sql",
    "runuser -l postgres -c 'psql -X -d postgres' < roles.sql",
  ];
}

function restoreCommands({ record }: KitBackup): string[] {
  return [
    `runuser -l postgres -c 'pg_restore --create --exit-on-error -d postgres' < ${dumpOf(record.id)} && echo restored`,
    "runuser -l postgres -c 'vacuumdb --all --analyze-only --quiet'",
  ];
}

/** How to find backups that are newer than the kit. */
export function newerBlocks({ storages, databases }: KitFacts): Block[] {
  const settings = storages.map((one) => one.settings);
  const variables = keyVariables(settings);
  const [first] = databases;
  const folder = first ? first.backups[0].record.object_key.split("/").slice(0, -1).join("/") : "";
  const commands = settings.flatMap((storage) => {
    if (storage.type === "local") return [`ls -1 ${shellQuoted(`${storage.path}/${folder}`)} | tail -n 6`];
    const names = variables.get(storage.name);
    return names ? listCommand(storage, folder, names) : [];
  });
  return [
    { heading: "Backups that are newer than this kit", level: 2 },
    {
      text: "The folder of a database has an object for each backup, with date and time (UTC) in its name, and beside it a manifest of the same name and `.json`, whose `object_sha256` and `object_bytes` describe the object. The newest file sorts last.",
    },
    ...(commands.length === 0 || !first ? [] : [{ commands }]),
    { text: "With another object, replace key, file name and hash in the commands above." },
  ];
}

function fileOf(key: string): string {
  return key.split("/").at(-1) ?? key;
}

function dumpOf(id: string): string {
  return `${shortId(id)}.dump`;
}

function packedOf(id: string, compression: string): string {
  return `${dumpOf(id)}${{ zstd: ".zst", gzip: ".gz" }[compression] ?? ""}`;
}
