import { messageOf } from "../../base/errors.ts";
import type { ServerConfig } from "../../config/config.ts";
import { connect, endpointOf } from "../../postgres/connection.ts";
import type { Snapshot } from "../../postgres/counts/snapshot.ts";
import { openSnapshot } from "../../postgres/counts/snapshot.ts";
import type { JobContext } from "../context.ts";
import { type Target, targetKey } from "./targets.ts";

/** Each dump needs a connection to look at the server, and then one for pg_dump, beside its snapshot's. */
const CONNECTIONS_OF_A_DUMP = 2;

const REPEATED = "the dump was repeated";
/** Its hook failed at first, or another run had the database. */
const LATER = "its backup could not begin together with theirs";

/**
 * Snapshots of all databases of a server with `group = "consistent"`, taken within one moment: every session connects
 * first, then all take their snapshots at once. Each is kept open until its dump has it. All databases of a server have
 * one, or none has: then each is dumped from its own, with a warning, because a backup is better than none.
 */
export class GroupedSnapshots implements AsyncDisposable {
  readonly #snapshots = new Map<string, Snapshot>();
  /** Why the databases of a server were not dumped from one moment, by the server's name. */
  readonly #missed = new Map<string, string>();
  /** The databases that have had a snapshot of the group. */
  readonly #taken = new Set<string>();
  /** Why a database's dump is of another moment than the others'. */
  readonly #apart = new Map<string, string>();

  /**
   * Throws only the signal's reason. `seen`: the databases of each server in this run and its earlier rounds. A round of
   * only some of them has another moment than the others.
   */
  static async open(
    context: JobContext,
    targets: readonly Target[],
    seen: Map<string, Set<string>> = new Map(),
  ): Promise<GroupedSnapshots> {
    const grouped = new GroupedSnapshots();
    const groups = Map.groupBy(
      targets.filter(({ server, kind = "dump" }) => server.group === "consistent" && kind === "dump"),
      ({ server }) => server,
    );
    for (const [server, members] of groups) {
      const before = seen.get(server.name) ?? new Set();
      const keys = members.map(targetKey);
      const all = new Set([...before, ...keys]);
      seen.set(server.name, all);
      if (members.length < all.size)
        for (const key of keys) grouped.#apart.set(key, before.has(key) ? REPEATED : LATER);
      if (members.length > 1) await grouped.#openGroup(context, server, members);
    }
    context.signal.throwIfAborted();
    return grouped;
  }

  /** The snapshot of a database, whose caller closes it; undefined the second time, and without a group. */
  take(target: Target): Snapshot | undefined {
    const key = targetKey(target);
    const snapshot = this.#snapshots.get(key);
    this.#snapshots.delete(key);
    if (snapshot) this.#taken.add(key);
    else if (this.#taken.has(key)) this.#apart.set(key, REPEATED);
    return snapshot;
  }

  /** A sentence about the databases of a server that were not dumped from one moment. */
  warningOf(target: Target): string | undefined {
    const { server, kind = "dump" } = target;
    if (kind !== "dump") return undefined;
    const why = this.#missed.get(server.name) ?? this.#apart.get(targetKey(target));
    return why === undefined ? undefined : `not of one moment with the other databases of the server: ${why}`;
  }

  async #openGroup(context: JobContext, server: ServerConfig, members: readonly Target[]): Promise<void> {
    const { log, config } = context;
    const atOnce = Math.min(config.dump.max_parallel, members.length);
    // Taken and given back, so that the snapshots do not leave the dumps without a connection.
    const spares = Array.from({ length: atOnce * CONNECTIONS_OF_A_DUMP }, () => server.maintenance_database);
    const barrier = new Barrier(members.length + spares.length);
    const id = crypto.randomUUID();
    const [snapshots] = await Promise.all([
      Promise.allSettled(
        members.map(({ database }) =>
          barrier.pass((ready) =>
            openSnapshot(endpointOf(server, database), { ...context, group: { id, ready } }),
          ),
        ),
      ),
      Promise.allSettled(
        spares.map((database) => barrier.pass((ready) => holdConnection(server, database, ready))),
      ),
    ]);
    const taken = snapshots.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
    if (barrier.failure !== undefined) {
      await Promise.allSettled(taken.map((snapshot) => snapshot[Symbol.asyncDispose]()));
      const error = messageOf(barrier.failure);
      this.#missed.set(server.name, error);
      log.warning("the databases of a server are not dumped from one moment", { server: server.name, error });
      return;
    }
    for (const [i, target] of members.entries()) {
      const snapshot = taken[i];
      if (snapshot) this.#snapshots.set(targetKey(target), snapshot);
    }
    const times = taken.map(({ moment }) => Date.parse(moment.taken_at));
    const spread_ms = Math.max(...times) - Math.min(...times);
    const fields = { server: server.name, databases: taken.length, spread_ms };
    log.info("the snapshots of a server were taken together", fields);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const left = [...this.#snapshots.values()];
    this.#snapshots.clear();
    await Promise.allSettled(left.map((snapshot) => snapshot[Symbol.asyncDispose]()));
  }
}

async function holdConnection(
  server: ServerConfig,
  database: string,
  ready: () => Promise<void>,
): Promise<void> {
  await using _connection = await connect(endpointOf(server, database));
  await ready();
}

/** Lets everybody go on when the last one has arrived or failed. */
class Barrier {
  readonly #all = Promise.withResolvers<void>();
  #missing: number;
  /** The first failure. */
  failure: unknown;

  constructor(count: number) {
    this.#missing = count;
  }

  /** `work` calls `ready` once, and goes on when it resolves. */
  async pass<T>(work: (ready: () => Promise<void>) => Promise<T>): Promise<T> {
    let hasArrived = false;
    const arrive = () => {
      if (!hasArrived) this.#missing--;
      hasArrived = true;
      if (this.#missing === 0) this.#all.resolve();
      return this.#all.promise;
    };
    try {
      return await work(arrive);
    } catch (error) {
      this.failure ??= error;
      void arrive();
      throw error;
    }
  }
}
