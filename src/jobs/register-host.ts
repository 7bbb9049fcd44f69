import { isIP } from "node:net";
import { Pg321Error } from "../base/errors.ts";
import { VERSION } from "../base/version.ts";
import { type HostRecord, type HostServer, WITHOUT_DAEMON } from "../catalog/hosts.ts";
import type { Config, ServerConfig } from "../config/config.ts";
import { hostOf } from "../postgres/connection.ts";
import type { JobContext } from "./context.ts";

type Registering = Pick<JobContext, "catalog" | "clock" | "host"> & Signing;

interface Signing extends Pick<JobContext, "installation"> {
  keys: Pick<JobContext["keys"], "signingKey">;
  config: Pick<Config, "encryption" | "file" | "fleet" | "server" | "storage">;
}

/**
 * Records what a host has that works without a daemon, so that the others leave it alone. A daemon keeps its own record.
 * Throws as `refuseStranger` does.
 */
export async function registerHost(context: Registering): Promise<void> {
  const { catalog, clock, host } = context;
  if (!catalog.isShared) return;
  await refuseStranger(context);
  const known = await catalog.hosts.one(host);
  if (known && known.stopped_at === null) return;
  const now = (await catalog.leaseTime(clock)).toISOString();
  const { pid = WITHOUT_DAEMON, started_at = now, heartbeat_at = now, stopped_at = now } = known ?? {};
  const daemon = { pid, started_at, heartbeat_at, stopped_at, next_runs: [], problems: [] };
  const record = { host, version: VERSION, ...daemon, ...placesOf(context) };
  const isSame = (field: "servers" | "storages") =>
    JSON.stringify(known?.[field]) === JSON.stringify(record[field]);
  if (!isSame("servers") || !isSame("storages")) await catalog.hosts.put(record);
}

/** The servers and storages of a host's record. */
export function placesOf({
  config: { fleet, server, storage },
  keys: { signingKey },
}: {
  config: Pick<Config, "fleet" | "server" | "storage">;
  keys: Pick<JobContext["keys"], "signingKey">;
}): Pick<HostRecord, "servers" | "storages"> {
  const shared = fleet.workers === "any" ? ({ shared: true } as const) : {};
  const signer = signingKey === undefined ? {} : { signer: signingKey.signer };
  const servers = server.map((one) => ({ ...hostServer(one), ...shared, ...signer }));
  return { storages: storage.map(({ name, type }) => ({ name, type })), servers };
}

/** A server without its secrets. */
export function hostServer({ name, host, port }: Pick<ServerConfig, "name" | "host" | "port">): HostServer {
  const at = hostOf({ host, port });
  return { name, at: at.startsWith("/") ? `${at}/.s.PGSQL.${port}` : `${at}:${port}` };
}

/**
 * Refuses a host that does not fit to the other registered ones. Code `usage`: the name of a server means another one on
 * another host, and their backups would mix; if both hosts have `fleet.workers = "any"`, the same name is the same server
 * on purpose. Code `key`: the signing key is that of another installation, or another one than a new host should have, and
 * no other host would trust its backups.
 */
export async function refuseStranger(context: Omit<Registering, "clock">): Promise<void> {
  if (context.catalog.isShared) refuseAmong(context, await context.catalog.hosts.all());
}

/** `refuseStranger` without I/O. */
export function refuseAmong(
  context: Signing & Pick<Registering, "host">,
  registered: readonly HostRecord[],
): void {
  const { config, host } = context;
  const others = registered.filter((other) => other.host !== host);
  const [first] = others;
  if (first) refuseForeignKey(context, first.host);
  const known = registered.find((one) => one.host === host);
  const other = otherSigner(context, registered);
  // A host that has this key already goes on: the others may be those with the wrong one.
  const isOld = known !== undefined && [undefined, context.keys.signingKey?.signer].includes(signerOf(known));
  if (other !== undefined && !isOld) throw otherSignerError(config, other);
  const own = placesOf(context).servers;
  for (const other of others) {
    for (const mine of own) {
      const theirs = other.servers.find(({ name }) => name === mine.name);
      if (theirs !== undefined) refuseNamesake({ config, host }, mine, { ...theirs, of: other.host });
    }
  }
}

/** A host without servers signs no backups. */
function refuseForeignKey({ config, installation, keys }: Signing, other: string): void {
  const own = keys.signingKey?.installation;
  if (own === undefined || own === installation || config.server.length === 0) return;
  const file = config.encryption.signing_key_file;
  throw new Pg321Error(
    "key",
    `signing key file ${file}: belongs to installation ${own}, but the catalog to ${installation}: the other hosts would not trust the backups of this one`,
    {
      hint: `copy the signing key file of host "${other}" to ${file}; for an installation of its own, set another catalog.url`,
    },
  );
}

function signerOf({ servers }: Pick<HostRecord, "servers">): string | undefined {
  return servers.find(({ signer }) => signer !== undefined)?.signer;
}

/** Another registered host whose backups are signed by another key; undefined if there is none. */
export function otherSigner(
  { config, host, keys: { signingKey } }: Pick<Signing, "config" | "keys"> & { host: string },
  registered: readonly HostRecord[],
): string | undefined {
  if (signingKey === undefined || config.server.length === 0) return undefined;
  const differs = (signer = signingKey.signer) => signer !== signingKey.signer;
  return registered.find((one) => one.host !== host && differs(signerOf(one)))?.host;
}

export function otherSignerError({ encryption }: Pick<Config, "encryption">, other: string): Pg321Error {
  const file = encryption.signing_key_file;
  return new Pg321Error(
    "key",
    `signing key file ${file}: not the key of host "${other}", so each of the two does not trust the backups of the other`,
    {
      hint: `copy the signing key file of the first host to ${file}; a key made by pg321 key generate --prover is only for a host without [[server]]`,
    },
  );
}

function refuseNamesake(
  { config, host }: Pick<Registering, "config" | "host">,
  { name, at, shared }: HostServer,
  theirs: HostServer & { of: string },
): void {
  if ((shared && theirs.shared) || (theirs.at === at && !isLocal(at))) return;
  const gone = `if host "${theirs.of}" is gone: pg321 forget-host ${theirs.of}`;
  const rename = `give one of them another name, such as "${name}-${host}"`;
  const start = `${config.file}: host "${theirs.of}" has a server "${name}", too`;
  if (shared) {
    const first = `if both are the same server, set fleet.workers = "any" on host "${theirs.of}" first, and restart its daemon`;
    const where = theirs.at === at ? at : `${at} here and ${theirs.at} there`;
    throw new Pg321Error("usage", `${start}, and does not share it: ${where}`, {
      hint: `${rename}; ${first}; ${gone}`,
    });
  }
  const where = theirs.at === at ? `${at}, each on its own machine` : `${at} here and ${theirs.at} there`;
  const both = 'if both are the same server, fleet.workers = "any" on both hosts says so';
  throw new Pg321Error("usage", `${start}: ${where}`, { hint: `${rename}; ${both}; ${gone}` });
}

/** Whether an address means another server on each machine. */
function isLocal(at: string): boolean {
  const host = at.replace(/:\d+$/, "").replace(/^\[(.*)\]$/, "$1");
  if (isIP(host) === 4) return host.startsWith("127.");
  return at.startsWith("/") || host === "::1" || host === "localhost";
}
