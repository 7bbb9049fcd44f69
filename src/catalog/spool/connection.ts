import type { Clock } from "../../base/clock.ts";
import { messageOf, Pg321Error } from "../../base/errors.ts";
import { HEARTBEAT_MS, HOUR_MS } from "../../base/limits.ts";
import type { Log } from "../../base/log.ts";
import { REMOVE_OLD_CALLS } from "../postgres/calls.ts";
import { migrate, schemaVersion } from "../postgres/migration/migrate.ts";
import { PostgresCatalog } from "../postgres/postgres.ts";
import { requireUse, USING } from "../postgres/rights.ts";
import type { Transactions } from "../postgres/transactions.ts";
import { type DeliveryTools, deliver, noticeOlderState } from "./deliver.ts";
import type { SpoolFile } from "./file.ts";
import { learn, learnFleet, type Own } from "./knowledge.ts";
import { carryLeases } from "./leases.ts";
import { restoreLost } from "./lost.ts";
import type { Outage, SpoolStatus } from "./status.ts";
import { CatalogUnreachableError, isOutage } from "./unreachable.ts";

/** How often an unreachable catalog is asked. */
const RETRY_MS = 5_000;
/** How often the whole knowledge is read again, for what other hosts have changed. */
const KNOWN_MS = HOUR_MS;
/** How often only the hosts and the open alerts are. */
const FLEET_KNOWN_MS = HEARTBEAT_MS;

export interface ConnectionTools {
  file: SpoolFile;
  transactions: Transactions;
  own: Own;
  clock: Clock;
  log: Log | undefined;
}

/** Whether the catalog can be reached, and the way back to it. */
export class Connection {
  readonly #tools: ConnectionTools;
  #since: string | undefined;
  #reason = "";
  #triedAtMs = Number.NEGATIVE_INFINITY;
  #returning: Promise<void> | undefined;
  #delivering: Promise<number> | undefined;
  #learning: Promise<void> | undefined;
  #learnedAtMs = Number.NEGATIVE_INFINITY;
  #recording: Promise<void> | undefined;
  readonly #closed = new AbortController();

  constructor(tools: ConnectionTools) {
    this.#tools = tools;
  }

  status(): SpoolStatus {
    const { outage } = this;
    return {
      unreachable_since: outage?.since ?? null,
      reason: outage?.reason ?? null,
      known_at: outage ? (this.#tools.file.fleetKnownAt() ?? null) : null,
      waiting: this.#tools.file.waiting(),
      ...this.#tools.file.refused(),
    };
  }

  /** Undefined while the catalog can be reached. */
  get outage(): Outage | undefined {
    return this.#since === undefined ? undefined : { since: this.#since, reason: this.#reason };
  }

  /** Connects for the first time. Rejects if the catalog refuses, or is unreachable and nothing is known of it here. */
  async open(): Promise<void> {
    try {
      await this.#return();
    } catch (error) {
      if (!isOutage(error) || this.#tools.file.knownAt() === undefined) throw error;
      this.lose(error);
    }
  }

  /** Call it before each call. Resolves to whether the catalog is to be asked; if not, it is looked for meanwhile. */
  async isReachable(): Promise<boolean> {
    if (this.#since !== undefined) {
      this.#lookAgain();
      return false;
    }
    try {
      // Another process of this host could not reach it, or this one has just left changes.
      if (!this.#tools.file.isEmpty()) await this.#deliver();
    } catch (error) {
      this.lose(error);
      return false;
    }
    this.#learnAgain();
    return true;
  }

  #deliveryTools(): DeliveryTools {
    return { ...this.#tools, host: this.#tools.own.host };
  }

  #deliver(): Promise<number> {
    this.#delivering ??= deliver(this.#deliveryTools()).finally(() => {
      this.#delivering = undefined;
    });
    return this.#delivering;
  }

  /** The catalog gave no answer. */
  lose(error: unknown): void {
    if (this.#since !== undefined) return;
    const { clock, file, log } = this.#tools;
    // A process before this one may have lost it already.
    const since = file.outageSince() ?? clock.now().toISOString();
    this.#recording = file.beginOutage(since).catch((failure) => {
      log?.debug("the beginning of the outage could not be recorded", { error: messageOf(failure) });
    });
    this.#since = since;
    this.#reason = messageOf(error);
    this.#triedAtMs = clock.monotonicMs();
    log?.error("the catalog is unreachable: this host goes on with its last knowledge", {
      error: this.#reason,
    });
    void this.#keepLooking();
  }

  /** Also if nothing calls: a record may wait. */
  async #keepLooking(): Promise<void> {
    while (this.#since !== undefined && !this.#closed.signal.aborted) {
      await this.#tools.clock.sleep(RETRY_MS, this.#closed.signal).catch(() => {});
      this.#lookAgain();
      await this.#returning;
    }
  }

  #lookAgain(): void {
    const { clock } = this.#tools;
    if (
      this.#closed.signal.aborted ||
      this.#since === undefined ||
      this.#returning ||
      clock.monotonicMs() - this.#triedAtMs < RETRY_MS
    )
      return;
    this.#triedAtMs = clock.monotonicMs();
    this.#returning = this.#return()
      .catch((error) => {
        this.#reason = messageOf(error);
      })
      .finally(() => {
        this.#triedAtMs = clock.monotonicMs();
        this.#returning = undefined;
      });
  }

  async #return(): Promise<void> {
    const { file, transactions, log } = this.#tools;
    transactions.revive();
    await this.#refuseEmpty();
    await migrate(transactions, { log });
    transactions.beginMarking();
    const isOther = await this.#isOtherCatalog();
    if (!isOther) {
      await noticeOlderState(this.#deliveryTools());
      await this.#restoreLost();
    }
    let delivered = await this.#deliver();
    // What no delivery needs may be what the role may not read or write.
    if (this.#since !== undefined)
      await transactions.do(USING, (transaction) => requireUse(transaction, transactions.login));
    while (!(await file.endOutage())) delivered += await this.#deliver();
    await carryLeases(this.#tools);
    await transactions.do("remove old calls", ({ run }) => run(REMOVE_OLD_CALLS));
    const since = this.#since;
    this.#since = undefined;
    if (since !== undefined) log?.info("the catalog is reachable again", { since, delivered });
    if (isOther || this.#isOld() || (await this.#knowsNothing())) await this.#learn();
  }

  /** It was learned before the catalog was anybody's: with that no command could begin in an outage. */
  async #knowsNothing(): Promise<boolean> {
    return (await this.#tools.file.catalog.installation()) === undefined;
  }

  /** A database without the catalog that this host knows may be about to be restored, and a new schema would be in the way. */
  async #refuseEmpty(): Promise<void> {
    const { file, transactions } = this.#tools;
    const { do: transact, label } = transactions;
    const known = await file.catalog.installation();
    if (known === undefined || file.place() !== label) return;
    if ((await transact("look at the schema", (transaction) => schemaVersion(transaction, label))) > 0)
      return;
    throw new CatalogUnreachableError(
      "storage",
      `${label}: it is empty, but this host knows a catalog in it: restore that, or, to begin a new one, move ${file.path} away`,
      { retryable: true },
    );
  }

  /** Records of one installation must not be delivered to another. */
  async #isOtherCatalog(): Promise<boolean> {
    const { file, transactions } = this.#tools;
    const known = await file.catalog.installation();
    const found = await new PostgresCatalog(transactions).installation();
    if (known === undefined || found === known) return false;
    if (file.isEmpty()) return true;
    throw new Pg321Error(
      "usage",
      `${transactions.label}: it belongs to the installation ${found ?? "of nobody yet"}, but the records in ${file.path} to ${known}`,
      { hint: "name the former catalog in catalog.url until they are delivered, or move that file away" },
    );
  }

  #isOld(): boolean {
    const knownAt = this.#tools.file.knownAt();
    if (knownAt === undefined) return true;
    const ageMs = this.#tools.clock.now().getTime() - Date.parse(knownAt);
    return ageMs < 0 || ageMs >= KNOWN_MS;
  }

  /** Meanwhile calls go on. */
  #learnAgain(): void {
    const { clock, file, transactions } = this.#tools;
    if (this.#learning || clock.monotonicMs() - this.#learnedAtMs < FLEET_KNOWN_MS) return;
    this.#learnedAtMs = clock.monotonicMs();
    // A fail-over without an outage is noticed before the knowledge is replaced.
    const renewed = async () => {
      await this.#restoreLost();
      await this.#learn();
    };
    this.#learning = (this.#isOld() ? renewed() : learnFleet(file, transactions, clock))
      .catch((error) => {
        this.#tools.log?.warning("the last knowledge of this host could not be renewed", {
          error: messageOf(error),
        });
      })
      .finally(() => {
        this.#learning = undefined;
      });
  }

  #restoreLost(): Promise<void> {
    return restoreLost({ ...this.#deliveryTools(), clock: this.#tools.clock });
  }

  #learn(): Promise<void> {
    const { file, transactions, own, clock } = this.#tools;
    return learn(file, transactions, own, clock);
  }

  /** Ends the looking; what is under way is awaited. */
  async close(): Promise<void> {
    this.#closed.abort();
    await Promise.all([this.#returning, this.#learning, this.#recording]);
  }
}
