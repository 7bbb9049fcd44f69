import { shellQuoted } from "../../base/text/shell.ts";
import { backupName } from "../../catalog/globals.ts";
import type { StorageConfig } from "../../config/config.ts";
import { parseFacts } from "../../postgres/counts/facts.ts";
import { leftOutText } from "../../postgres/counts/left-out.ts";
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
import {
  EVERYWHERE,
  fileOf,
  globalsCommands,
  openCommands,
  restoreCommands,
  rolesCommands,
  tablespacesCommands,
} from "./open.ts";

const DIRECTORY = "/root/recovery";

/** The steps that every restore needs once, on a fresh Debian. */
export function prepareBlocks(facts: KitFacts): Block[] {
  const all = [...facts.globals, ...facts.databases].flatMap(({ backups }) => backups);
  const isSealed = all.some(({ record }) => record.encryption === "age");
  const variables = keyVariables(facts.storages.map(({ settings }) => settings));
  const packages = [
    "postgresql",
    ...(isSealed ? ["age"] : []),
    ...(isSealed || facts.hasStreams ? ["python3-cryptography"] : []),
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
      : facts.hasStreams
        ? [{ text: `Put \`unseal.py\` of this kit into \`${DIRECTORY}\`.` }]
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

const INTO_POSTGRES =
  "Then the contents of the database, into the one of this name that every new server has: it must be empty, and keeps its own owner, encoding and settings. If it says that an extension is missing, install its package (`pg_restore -l FILE.dump | grep EXTENSION` lists them), remove what was restored so far, and run it again.";

/** The steps that restore the newest good backup of one database. */
export function databaseBlocks(facts: KitFacts, { server, database, backups }: KitDatabase): Block[] {
  const [newest, ...older] = backups;
  const name = `${server}/${database}`;
  const { hasStreams } = facts;
  return [
    { heading: `Restore ${name}`, level: 2 },
    { text: `The newest good backup when this kit was made: ${aboutText(newest)}.` },
    ...fetchBlocks(facts, newest, name),
    { heading: `Open and restore ${name}`, level: 3 },
    {
      text: `${CHECK_TEXT} The dump is your data in plain text: remove it afterwards.${hasStreams ? ` A backup in several streams (\`dump.jobs\`) becomes the directory \`${shortId(newest.record.id)}\`; to open it again, remove that first.` : ""}`,
    },
    { commands: openCommands(newest, hasStreams) },
    ...rolesBlocks(facts, server, newest),
    {
      text:
        database === EVERYWHERE
          ? INTO_POSTGRES
          : "Then the database, under its own name, with its encoding, locale, owner and rights. If it says that the locale or an extension is missing, install it (`dpkg-reconfigure locales`; the package of the extension: `pg_restore -l FILE.dump | grep EXTENSION` lists them), remove the half-made database with `dropdb`, and run it again. To restore under another name instead, make an empty database with `createdb -T template0 NAME`, and replace `--create … -d postgres` by `-d NAME`.",
    },
    ...leftOutBlocks(newest),
    { commands: restoreCommands(newest, database, hasStreams) },
    ...olderBlocks(older),
  ];
}

/** Without names: the manifest seals those of tables. */
function leftOutBlocks({ record }: KitBackup): Block[] {
  if (leftOutText(parseFacts(record.facts)?.left_out) === undefined) return [];
  const text =
    "The config left parts of this database out of the dump: they are missing afterwards. If the restore stops at an object that needs one of them (a view, a foreign key), remove what was restored so far, and run the commands again one by one without `--exit-on-error`; their words are then not printed.";
  return [{ text }];
}

/** The steps that restore the newest good backup of the globals of a server. */
export function globalsBlocks(facts: KitFacts, { server, database, backups }: KitDatabase): Block[] {
  const [newest, ...older] = backups;
  const name = backupName({ server, database });
  const hasPasswords = newest.record.facts?.["passwords"] !== false;
  return [
    { heading: `Restore the roles of ${server}`, level: 2 },
    {
      text: `Once, before the databases of ${server}. The globals of a server are its roles with their attributes, ${hasPasswords ? "passwords, " : ""}memberships and settings, and its tablespaces. The newest good backup when this kit was made: ${aboutText(newest)}.`,
    },
    ...fetchBlocks(facts, newest, name),
    { heading: `Open and restore ${name}`, level: 3 },
    { text: CHECK_TEXT },
    { commands: [...openCommands(newest, false), ...tablespacesCommands(newest)] },
    {
      text: "If that printed a `CREATE TABLESPACE`, make its directory now, empty and owned by postgres: `install -d -o postgres -g postgres -m 0700 DIRECTORY`. Then the roles. The error that the role `postgres` exists already does no harm; correct the cause of any other and run it again: what exists then is reported, and gets the same attributes again.",
    },
    { commands: globalsCommands(newest) },
    ...(hasPasswords
      ? []
      : [
          {
            text: "The role that made this backup could not read passwords, so **no role has one**: set them with `\\password ROLE` in `runuser -l postgres -c 'psql -X -d postgres'`.",
          },
        ]),
    ...olderBlocks(older),
  ];
}

const CHECK_TEXT =
  "The first line must end with `OK`, and each `echo` must print its word; otherwise stop, and fetch the backup from another storage.";

/** Where the roles come from that the dump needs. */
function rolesBlocks(
  { globals, globalsWanted, hasStreams }: KitFacts,
  server: string,
  newest: KitBackup,
): Block[] {
  if (globals.some((one) => one.server === server))
    return [
      {
        text: `The roles must exist: see "Restore the roles of ${server}". If the restore below says that a role does not exist, make it with \`CREATE ROLE\` in psql, remove the half-made database with \`dropdb\`, and run it again.`,
      },
    ];
  const why = globalsWanted.includes(server)
    ? `There was no good backup of the globals of ${server} when this kit was made`
    : `The config does not back up the globals of ${server} (\`globals = false\`)`;
  return [
    {
      text: `The roles that the dump needs. ${why}, so they are made here without password and without login, and memberships and tablespaces are missing. Roles that exist already are reported. Look at \`roles.sql\` first, and give the roles what they had, for example with \`ALTER ROLE app LOGIN PASSWORD '…'\`, or from your own \`pg_dumpall --globals-only\`.`,
    },
    { commands: rolesCommands(newest, hasStreams) },
  ];
}

function olderBlocks(older: readonly KitBackup[]): Block[] {
  if (older.length === 0) return [];
  return [
    { text: "Older good backups, for the same commands with another key, file name and hash:" },
    { list: older.map((backup) => `${aboutText(backup)}, key \`${backup.record.object_key}\``) },
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

/** How to find backups that are newer than the kit. */
export function newerBlocks({ storages, databases, globals }: KitFacts): Block[] {
  const settings = storages.map((one) => one.settings);
  const variables = keyVariables(settings);
  const folders = [...globals.slice(0, 1), ...databases.slice(0, 1)].map(({ backups: [newest] }) =>
    newest.record.object_key.split("/").slice(0, -1).join("/"),
  );
  const commands = settings.flatMap((storage) =>
    folders.flatMap((folder) => {
      if (storage.type === "local") return [`ls -1 ${shellQuoted(`${storage.path}/${folder}`)} | tail -n 6`];
      const names = variables.get(storage.name);
      return names ? listCommand(storage, folder, names) : [];
    }),
  );
  return [
    { heading: "Backups that are newer than this kit", level: 2 },
    {
      text: "The folder of a database has an object for each backup, with date and time (UTC) in its name, and beside it a manifest of the same name and `.json`, whose `object_sha256` and `object_bytes` describe the object. The newest file sorts last. The globals of a server have the folder `@globals`.",
    },
    ...(commands.length === 0 ? [] : [{ commands }]),
    { text: "With another object, replace key, file name and hash in the commands above." },
  ];
}
