import type { Catalog } from "../../catalog/catalog.ts";
import { GLOBALS_DATABASE } from "../../catalog/globals.ts";
import type { BackupOutline } from "../../catalog/outlines.ts";

/** Good globals of a server. */
export type GoodGlobals = Pick<BackupOutline, "id" | "run_id" | "server" | "started_at" | "copies">;

/** Runs of one server with globals that are remembered: dumps of the same run come beside them. */
const PASSED_MAX = 20;
const WAITING_MAX = 100;

/**
 * Finds for archives the globals of one server that dumps there need, as a restore chooses them: those of the dump's run,
 * otherwise the newest before it, otherwise the first after it. Gets dumps and good globals together, newest first, and
 * remembers some runs only. It may find the same globals several times.
 */
export class NeededGlobals {
  readonly #catalog: Pick<Catalog, "backups" | "copies">;
  readonly #server: string;
  readonly #onNeed: (globals: GoodGlobals, archive: string) => Promise<void>;
  /** By run, the good globals that came last. */
  readonly #passed = new Map<string, GoodGlobals>();
  /** By run, the archives with dumps whose own globals, if there are any, have not come yet. */
  readonly #waiting = new Map<string, Set<string>>();
  /** Archives with dumps that have no globals of their own: they need the next that come. */
  readonly #others = new Set<string>();
  #last: GoodGlobals | undefined;
  #hasAny: boolean | undefined;

  constructor(
    catalog: Pick<Catalog, "backups" | "copies">,
    server: string,
    onNeed: (globals: GoodGlobals, archive: string) => Promise<void>,
  ) {
    this.#catalog = catalog;
    this.#server = server;
    this.#onNeed = onNeed;
  }

  async addDump(
    { run_id, started_at }: Pick<BackupOutline, "run_id" | "started_at">,
    archives: readonly string[],
  ): Promise<void> {
    this.#hasAny ??= (await this.#good({})) !== undefined;
    if (!this.#hasAny) return;
    const own = this.#passed.get(run_id);
    for (const archive of archives) {
      if (own) await this.#onNeed(own, archive);
      else this.#waiting.set(run_id, (this.#waiting.get(run_id) ?? new Set()).add(archive));
    }
    // Of the same moment, the greater id comes first.
    if (!own && this.#last?.started_at === started_at) await this.#serve(this.#last);
    if (this.#waiting.size > WAITING_MAX) await this.#settle();
  }

  async addGlobals(globals: GoodGlobals): Promise<void> {
    await this.#serve(globals);
    if (!this.#passed.has(globals.run_id)) this.#passed.set(globals.run_id, globals);
    const [oldest] = this.#passed.keys();
    if (this.#passed.size > PASSED_MAX && oldest !== undefined) this.#passed.delete(oldest);
    this.#last = globals;
  }

  /** Call after the last backup. */
  async end(): Promise<void> {
    await this.#settle();
    if (this.#last) await this.#serve(this.#last);
  }

  async #serve(globals: GoodGlobals): Promise<void> {
    for (const archive of this.#waiting.get(globals.run_id) ?? []) await this.#onNeed(globals, archive);
    this.#waiting.delete(globals.run_id);
    await this.#settle();
    for (const archive of this.#others) await this.#onNeed(globals, archive);
    this.#others.clear();
  }

  /** Looks for the globals of the runs that wait: those that have none need others. */
  async #settle(): Promise<void> {
    for (const [run_id, archives] of this.#waiting) {
      const own = await this.#good({ run_id });
      for (const archive of archives)
        if (own) await this.#onNeed(own, archive);
        else this.#others.add(archive);
    }
    this.#waiting.clear();
  }

  async #good(of: { run_id?: string }): Promise<GoodGlobals | undefined> {
    const found = await this.#catalog.backups({
      ...{ ...of, server: this.#server, database: GLOBALS_DATABASE, status: ["VERIFIED", "PARTIAL"] },
      copy: { states: ["CONFIRMED"] },
      ...(of.run_id === undefined && { limit: 1 }),
    });
    const good = found.find(({ unreadable }) => unreadable === null || of.run_id === undefined);
    return good && { ...good, copies: await this.#catalog.copies(good.id) };
  }
}
