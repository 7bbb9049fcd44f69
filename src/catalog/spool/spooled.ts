import { messageOf, type Pg321Error } from "../../base/errors.ts";
import type { AlertChange, AlertScope, Catalog } from "../catalog.ts";
import { PostgresCatalog } from "../postgres/postgres.ts";
import type { CopyRecord, LeaseHolder } from "../records.ts";
import { hostOf } from "../sqlite/fleet/alerts.ts";
import { type Call, invoke, KINDS, type Kind } from "./calls.ts";
import { Connection, type ConnectionTools } from "./connection.ts";
import { fenceOf, withFence } from "./fences.ts";
import { type CallMark, CatalogUnreachableError, isOutage, UnsettledChangeError } from "./unreachable.ts";

type Decide = Parameters<Catalog["changeAlert"]>[1];

/** Leases that a run may take without the catalog: of a database, of a run, and of the daemon. */
const TAKEN_ALONE = /^(next )?[^/ ][^/]*\/|^run |^daemon\b/;

/**
 * The catalog in PostgreSQL, and this host's spool while that is unreachable. Every method of a catalog goes through
 * `#call`, by its kind.
 */
export class Spooled {
  readonly #tools: ConnectionTools;
  readonly #connection: Connection;
  readonly #primary: Catalog;

  constructor(tools: ConnectionTools) {
    this.#tools = tools;
    this.#connection = new Connection(tools);
    this.#primary = new PostgresCatalog(tools.transactions);
  }

  /** Connects, and delivers what waits. Rejects as `Connection.open` does; then everything is closed. */
  async open(): Promise<Catalog> {
    try {
      await this.#connection.open();
    } catch (error) {
      await this.#close();
      throw error;
    }
    return this.#catalog();
  }

  #catalog(): Catalog {
    const parts = Object.entries(KINDS).map(([part, kinds]) => {
      const methods = Object.entries(kinds as Record<string, Kind>).map(([method, kind]) => [
        method,
        (...args: unknown[]) => this.#call(kind, { part, method, args }),
      ]);
      return [part, Object.fromEntries(methods)] as const;
    });
    const { "": own, ...others } = Object.fromEntries(parts);
    return {
      ...own,
      ...others,
      isShared: true,
      spool: { status: () => this.#connection.status(), outage: () => this.#connection.outage },
      [Symbol.asyncDispose]: () => this.#close(),
    } as unknown as Catalog;
  }

  async #close(): Promise<void> {
    await this.#connection.close();
    await this.#primary[Symbol.asyncDispose]();
    await this.#tools.file[Symbol.asyncDispose]();
  }

  #call(kind: Kind, call: Call): unknown {
    return kind === "pages" ? this.#pages(call) : this.#answer(kind, call);
  }

  async *#pages(call: Call): AsyncGenerator<unknown> {
    if (!(await this.#connection.isReachable())) throw this.#refusal();
    yield* this.#watched(() => invoke(this.#primary, call) as AsyncIterable<unknown>);
  }

  async *#watched(pages: () => AsyncIterable<unknown>): AsyncGenerator<unknown> {
    try {
      yield* pages();
    } catch (error) {
      if (isOutage(error)) this.#connection.lose(error);
      throw error;
    }
  }

  async #answer(kind: Kind, call: Call): Promise<unknown> {
    if (!(await this.#connection.isReachable())) return this.#answerHere(kind, call);
    const fenced = this.#carriedFence(call);
    if (fenced === "here") {
      const made = await this.#answerHere(kind, call);
      // Delivers it.
      await this.#connection.isReachable();
      return made;
    }
    let result: unknown;
    try {
      result = await invoke(this.#primary, fenced);
    } catch (error) {
      if (!isOutage(error)) throw error;
      this.#connection.lose(error);
      return this.#answerHere(kind, call, error);
    }
    return kind === "read" || kind === "whole" ? result : this.#remember(call, result);
  }

  /**
   * The call with the token that the catalog knows, if its lease outlived an outage. `here`: another run has the lease
   * there, or may have had it, so the change is delivered as those of the outage are.
   */
  #carriedFence(call: Call): Call | "here" {
    const fence = fenceOf(call);
    const carried = fence && this.#tools.file.carriedWith(fence);
    if (!fence || !carried || KINDS[""][call.method as keyof (typeof KINDS)[""]] === "online") return call;
    if (carried.catalog_token === null) return "here";
    return withFence(call, { name: fence.name, token: carried.catalog_token });
  }

  /** Makes a change in the knowledge of this host too. It may be about a record that the host does not keep. */
  async #remember(call: Call, result: unknown): Promise<unknown> {
    const { file, log } = this.#tools;
    const [first, second] = call.args;
    const carried = () => file.carried(String(first), String(second));
    // The catalog's answer about a lease counts, unless the lease outlived an outage.
    if (call.method === "renewLease" && result === false) {
      if (carried() === undefined) return false;
      return file.inTransaction("renew a lease", async () => await invoke(file.catalog, call));
    }
    if (call.method === "leaseToken" && result === undefined) return carried()?.token;
    const work = async () => {
      switch (call.method) {
        case "changeAlert":
          if (result === undefined) return;
          return void (await invoke(file.catalog, {
            ...call,
            args: [first, () => ({ alert: result, deliveries: [] }), call.args[2]],
          }));
        case "acquireLease":
          if (result === undefined) file.putLease(first as LeaseHolder);
          return;
        case "leaseToken":
          return file.setLeaseToken(String(first), String(second), Number(result));
        case "releaseLease":
          file.dropCarried(String(first), String(second));
      }
      await invoke(file.catalog, withFence(call, undefined));
    };
    await file.inTransaction("store what is known", work).catch((error: unknown) => {
      log?.debug("this host's spool lacks a change of the catalog", {
        method: call.method,
        error: messageOf(error),
      });
    });
    return result;
  }

  #answerHere(kind: Kind, fenced: Call, error?: Pg321Error): unknown {
    const { file } = this.#tools;
    // Whether the run still has its lease is seen when its changes are delivered.
    const call = withFence(fenced, undefined);
    if (kind === "read" || kind === "here") return invoke(file.catalog, call);
    if (kind === "whole" || kind === "online") throw this.#refusal();
    const mark = error instanceof UnsettledChangeError ? error.mark : undefined;
    if (kind === "own") return this.#own(call, mark);
    return file.append(async () => ({ result: await this.#applied(call), call }), mark);
  }

  /** A record that this host does not know is changed when the change is delivered. */
  async #applied(call: Call): Promise<unknown> {
    try {
      return await invoke(this.#tools.file.catalog, call);
    } catch (error) {
      if (call.method.startsWith("update") || ["putCopy", "putCopies"].includes(call.method))
        return undefined;
      throw error;
    }
  }

  async #own(call: Call, mark: CallMark | undefined): Promise<unknown> {
    const { file } = this.#tools;
    const [first, second, third] = call.args;
    switch (call.method) {
      case "updateCopy":
        // What begins to remove a copy waits for the catalog: others may rely on it by now.
        if ((third as Partial<CopyRecord>).state === "DELETING") throw this.#refusal();
        return file.append(async () => ({ result: await this.#applied(call), call }), mark);
      case "changeAlert":
        return file.append(
          () => this.#changeAlert(String(first), second as Decide, third as AlertScope | undefined),
          mark,
        );
      case "leaseToken":
        return invoke(file.catalog, call);
      case "acquireLease": {
        const { name, run_id } = first as LeaseHolder;
        if (!TAKEN_ALONE.test(name)) throw this.#refusal();
        return file.inTransaction("take a lease", async () => {
          const holder = await invoke(file.catalog, call);
          if (holder === undefined) file.carry(name, run_id, { isTaken: true });
          return holder;
        });
      }
      case "renewLease":
        // Another host may take it meanwhile, and remove what ours works on.
        if (!TAKEN_ALONE.test(String(first))) throw this.#refusal();
        return file.inTransaction("renew a lease", async () => {
          const isRenewed = await invoke(file.catalog, call);
          if (isRenewed === true) file.carry(String(first), String(second));
          return isRenewed;
        });
      case "releaseLease":
        return file.inTransaction("release a lease", async () => {
          file.dropCarried(String(first), String(second));
          await invoke(file.catalog, call);
        });
      default:
        throw new Error(`no rule for ${call.method}`);
    }
  }

  async #changeAlert(
    key: string,
    decide: Decide,
    scope: AlertScope | undefined,
  ): Promise<{ result: unknown; call: Call | undefined }> {
    let change: AlertChange | undefined;
    const observed: Decide = (open) => {
      change = decide(open);
      return change;
    };
    const result = await this.#tools.file.catalog.changeAlert(key, observed, scope);
    if (change === undefined) return { result, call: undefined };
    const hosts = { alert: hostOf(change.alert, scope), notices: scope?.host ?? null };
    return { result, call: { part: "", method: "changeAlert", args: [key, change, hosts] } };
  }

  #refusal(): Pg321Error {
    return new CatalogUnreachableError(
      "storage",
      this.#connection.outage?.reason ?? "the catalog is unreachable",
      {
        hint: "this needs the catalog: the daemon does it once that is reachable, a command must be run again; backups go on meanwhile",
        retryable: true,
      },
    );
  }
}
