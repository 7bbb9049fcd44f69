import { isGlobalsPlace } from "../../catalog/globals.ts";
import type { BackupRecord } from "../../catalog/records.ts";
import type { SealedBackups } from "../../catalog/recovery-kits.ts";
import { catalogPlace, parseCatalogUrl } from "../../config/catalog-url.ts";
import type { Config, StorageConfig } from "../../config/config.ts";
import { parseFacts } from "../../postgres/counts/facts.ts";
import type { IdentityFacts } from "../../sealed/identity.ts";
import { isPassphraseProtected, readIdentityFile } from "../../sealed/identity.ts";
import type { JobContext } from "../context.ts";
import { countingDatabases } from "../progress.ts";

/** How many good backups of each database the kit lists. */
const BACKUPS_LISTED = 3;

/** Everything that the page of a recovery kit says. No field holds a secret. */
export interface KitFacts {
  /** RFC 3339 UTC. */
  madeAt: string;
  host: string;
  installation: string;
  configFile: string;
  storages: KitStorage[];
  /** In order of server and name. */
  databases: KitDatabase[];
  /** The globals of the servers, as far as there is a good backup of them. */
  globals: KitDatabase[];
  /** The servers that the config backs up with their globals. */
  globalsWanted: readonly string[];
  isEncrypted: boolean;
  /** Whether dumps are made in several streams, as far as the server has room for them. */
  hasStreams: boolean;
  /** The recipients in the config, to which new backups are sealed. */
  recipients: readonly string[];
  /** Where the identity file is on this host; undefined if it is kept elsewhere. */
  identityFile: string | undefined;
  /** The identities in that file; undefined if it is not here or cannot be opened without its passphrase. */
  identities: readonly IdentityFacts[] | undefined;
  hasPassphrase: boolean;
  sealed: SealedBackups[];
  /** The catalog, if it is in a PostgreSQL database. */
  catalog: KitCatalog | undefined;
  /** The public half of this installation's signing key. */
  signer: string | undefined;
}

export interface KitStorage {
  settings: StorageConfig;
  /** Where each of its secrets is kept: `secret_access_key: credential "r2-secret"`. */
  secrets: readonly string[];
}

/** The backups of a database, or of the globals of a server. */
export interface KitDatabase {
  server: string;
  /** For globals `GLOBALS_DATABASE`. */
  database: string;
  /** Good backups, the newest good one first; at least one. */
  backups: [KitBackup, ...KitBackup[]];
}

export interface KitBackup {
  record: BackupRecord;
  /** Names of the storages with a confirmed copy. */
  storages: string[];
  /** Who signed it; undefined if nobody did. */
  signer: string | undefined;
}

/** Gathers the facts from catalog and keys; asks no storage and no server. `secrets`: by the names of the storages. */
export async function kitFacts(
  context: JobContext,
  {
    secrets,
    identityText,
  }: { secrets: ReadonlyMap<string, readonly string[]>; identityText: string | undefined },
): Promise<KitFacts> {
  const { config, clock, host, installation, keys, catalog } = context;
  const { encryption } = config;
  const isProtected = identityText !== undefined && isPassphraseProtected(identityText);
  // The kit needs no secret, so it never asks for the passphrase.
  const identity =
    identityText === undefined || (isProtected && encryption.identity_passphrase === undefined)
      ? undefined
      : await readIdentityFile(identityText, encryption.identity_passphrase);
  const all = await kitBackups(context);
  const databases = all.filter((one) => !isGlobalsPlace(one));
  return {
    madeAt: clock.now().toISOString(),
    host,
    installation,
    configFile: config.file,
    storages: config.storage.map((settings) => ({ settings, secrets: secrets.get(settings.name) ?? [] })),
    databases,
    globals: all.filter(isGlobalsPlace),
    globalsWanted: config.server.filter(({ globals }) => globals).map(({ name }) => name),
    isEncrypted: encryption.mode === "age",
    hasStreams: config.dump.jobs > 1,
    recipients: encryption.recipients,
    identityFile: encryption.identity_file,
    identities: identity?.facts,
    hasPassphrase: isProtected || encryption.identity_passphrase !== undefined,
    sealed: await catalog.recoveryKits.sealedBackups(),
    catalog: kitCatalog(config, databases),
    signer: keys.signingKey?.signer,
  };
}

async function kitBackups({ catalog, clock, progress }: JobContext): Promise<KitDatabase[]> {
  const now = clock.now();
  const found: KitDatabase[] = [];
  const latest = await catalog.overview.latestBackups(now);
  using counting = countingDatabases(progress, "recovery kit", latest.length);
  for (const { server, database } of latest) {
    const newest = await catalog.newestGood(server, database, now);
    const recent = await catalog.backups({
      server,
      database,
      status: ["VERIFIED", "PARTIAL"],
      limit: BACKUPS_LISTED,
    });
    const records = [...(newest ? [newest] : []), ...recent.filter(({ id }) => id !== newest?.id)];
    const backups: KitBackup[] = [];
    for (const record of records.slice(0, BACKUPS_LISTED)) {
      const copies = await catalog.copies(record.id);
      const storages = copies.filter(({ state }) => state === "CONFIRMED").map(({ storage }) => storage);
      if (storages.length > 0) backups.push({ record, storages, signer: signerOf(record) });
    }
    const [first, ...others] = backups;
    if (first) found.push({ server, database, backups: [first, ...others] });
    counting.done();
  }
  return found;
}

/** The catalog has only manifests that this installation signed, or verified when it adopted them. */
function signerOf({ manifest }: BackupRecord): string | undefined {
  if (manifest === null) return undefined;
  const { signer } = JSON.parse(manifest) as { signer?: unknown };
  return typeof signer === "string" ? signer : undefined;
}

/** A catalog that is kept in a PostgreSQL database. */
export interface KitCatalog {
  /** Where it is, without its login. */
  place: string;
  /** The role that owns it. */
  user: string;
  hasPassword: boolean;
  database: string;
  /** The newest good backup of its database by this installation; undefined if there is none. */
  backup: KitBackup | undefined;
  /** The name of the server, as the config has it, from which that backup was made. */
  server: string | undefined;
}

const LOCAL = ["localhost", "127.0.0.1", "::1"];

/** The catalog of the config, and its own backups; undefined if it is a file. */
function kitCatalog({ catalog, server }: Config, databases: readonly KitDatabase[]): KitCatalog | undefined {
  const url = catalog.type === "postgres" ? parseCatalogUrl(catalog.url.reveal()) : undefined;
  if (!url) return undefined;
  const hostOf = (host: string | undefined) =>
    host === undefined || LOCAL.includes(host) || host.startsWith("/") ? "localhost" : host;
  const isThere = (name: string) =>
    server.some(
      (one) =>
        one.name === name &&
        url.hosts.some(({ host, port }) => hostOf(host) === hostOf(one.host) && port === one.port),
    );
  const ofItsName = databases.filter(({ database }) => database === url.database);
  // By its address, otherwise by its contents: a server may have several names.
  const own = ofItsName.find((one) => isThere(one.server)) ?? ofItsName.find(holdsCatalog);
  return {
    place: catalogPlace(url),
    user: url.user ?? "pg321",
    hasPassword: url.password !== undefined,
    database: url.database,
    backup: own?.backups[0],
    server: own?.server,
  };
}

function holdsCatalog({ backups: [{ record }] }: KitDatabase): boolean {
  const tables = parseFacts(record.facts)?.tables ?? [];
  return tables.some(({ schema, name }) => schema === "pg321" && name === "schema_version");
}
