import { HEARTBEAT_MS } from "../base/limits.ts";
import type { OthersHistory } from "../catalog/catalog.ts";
import type { HostRecord } from "../catalog/hosts.ts";
import type { BackupRecord } from "../catalog/records.ts";
import type { Config } from "../config/config.ts";
import type { JobContext } from "./context.ts";

type Owned = Pick<BackupRecord, "server" | "host">;

/**
 * What belongs to this host in a catalog that it shares with others. Every job that removes, repairs, checks, reconciles
 * or reports backups asks it, and leaves alone what belongs to another host.
 */
export interface Ownership {
  /**
   * Whether a backup is this host's: of a server that its config names and no other registered host names; otherwise one
   * that it has made itself, unless the server is another host's alone. Of a server that several hosts name, backups
   * that none of them has made (adopted, or of a host that was removed) are those of the first of them by name.
   */
  owns(backup: Owned): boolean;
  /**
   * Whether the state of a server's databases (their marks, alerts, names) is this host's matter. Of several hosts that
   * name it, it is that of the first by name whose daemon works.
   */
  ownsServer(server: string): boolean;
  /**
   * Whether a database is shown on this host: its config names the server, or no other host does, and the host that made
   * the newest backup of it is not another registered one.
   */
  hasServer(server: string, maker: string | null): boolean;
  /** The other registered hosts whose config has a storage of this name. */
  hostsWithStorage(storage: string): string[];
  /** The other registered hosts. */
  readonly others: readonly HostRecord[];
  /** Whose history this host does not prune. */
  readonly history: OthersHistory;
}

/** A daemon that is silent for this long does not look after the servers that others name, too. */
const SILENT_MS = 10 * HEARTBEAT_MS;

type Asking = Pick<JobContext, "catalog" | "clock" | "host"> & { config: Pick<Config, "server"> };

/** Of a catalog in a file, which is only one host's: every record is its own, perhaps under its former name. */
export const ALONE: Ownership = {
  owns: () => true,
  ownsServer: () => true,
  hasServer: () => true,
  hostsWithStorage: () => [],
  others: [],
  history: { hosts: [], servers: [] },
};

/** The ownership of now: hosts register, and are removed, at any time. */
export async function ownershipOf({ catalog, clock, config, host }: Asking): Promise<Ownership> {
  if (!catalog.isShared) return ALONE;
  const registered = await catalog.hosts.all();
  const aliveSince = new Date((await catalog.leaseTime(clock)).getTime() - SILENT_MS).toISOString();
  const isAlive = (one: HostRecord) => one.stopped_at === null && one.heartbeat_at >= aliveSince;
  return ownership(host, config.server, registered, isAlive);
}

/** The rule for a shared catalog, without I/O. `registered`: all hosts in the catalog; `isAlive`: whether the daemon of one shows signs of life. */
export function ownership(
  host: string,
  servers: readonly { name: string }[],
  registered: readonly HostRecord[],
  isAlive: (one: HostRecord) => boolean = () => true,
): Ownership {
  const others = registered.filter((one) => one.host !== host);
  const isRegistered = others.length < registered.length;
  const own = new Set(servers.map(({ name }) => name));
  const naming = (server: string) => others.filter((one) => one.servers.some(({ name }) => name === server));
  const isFirst = (hosts: readonly HostRecord[]) => isRegistered && hosts.every((one) => host < one.host);
  const ownsServer = (server: string) => {
    if (others.length === 0) return true;
    const rivals = naming(server).filter(isAlive);
    return own.has(server) && (rivals.length === 0 || isFirst(rivals));
  };
  return {
    others,
    ownsServer,
    owns({ server, host: maker }) {
      const rivals = naming(server);
      // Also without others: one that was forgotten, has no daemon yet, or whose backups were adopted, keeps them by its rules.
      if (rivals.length === 0) return own.has(server) || maker === host;
      if (!own.has(server)) return false;
      if (maker === host) return true;
      return !rivals.some((one) => one.host === maker) && isFirst(rivals);
    },
    hasServer: (server, maker) =>
      own.has(server) || (naming(server).length === 0 && others.every((one) => one.host !== maker)),
    hostsWithStorage: (storage) =>
      others.filter((one) => one.storages.some(({ name }) => name === storage)).map((one) => one.host),
    history: {
      hosts: others.map((one) => one.host),
      servers: [
        ...new Set(
          others.flatMap((one) => one.servers.map(({ name }) => name)).filter((name) => !ownsServer(name)),
        ),
      ],
    },
  };
}

/** Of each page only what belongs to this host; pages that are empty then are left out. */
export async function* ownPages<R extends Owned>(
  { owns }: Ownership,
  pages: AsyncIterable<readonly R[]>,
): AsyncGenerator<R[]> {
  for await (const page of pages) {
    const own = page.filter(owns);
    if (own.length > 0) yield own;
  }
}
