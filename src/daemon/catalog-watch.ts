import { raiseAlert, resolveAlert } from "../alerts/alert.ts";
import type { Clock } from "../base/clock.ts";
import { messageOf } from "../base/errors.ts";
import { MINUTE_MS } from "../base/limits.ts";
import type { Log } from "../base/log.ts";
import { timeText } from "../base/text/zoned-time.ts";
import type { Held } from "../catalog/lease.ts";
import type { JobContext } from "../jobs/context.ts";

/** A fail-over or a restart of the server takes less. */
const ALERT_AFTER_MS = MINUTE_MS;
const KEY = "catalog";

interface Tools {
  clock: Clock;
  log: Log;
  lease: Pick<Held, "trouble">;
}

/** Logs that the catalog cannot be written, and raises an alert while it is unreachable. */
export class CatalogWatch {
  readonly #tools: Tools;
  #logged = "";
  /** Undefined until the first look: an earlier daemon may have raised the alert. */
  #isRaised: boolean | undefined;

  constructor(tools: Tools) {
    this.#tools = tools;
  }

  /** Never throws. */
  look(context: JobContext): void {
    this.#log();
    const { spool } = context.catalog;
    if (spool === undefined) return;
    const outage = spool.outage();
    if (outage === undefined) {
      if (this.#isRaised !== false) void resolveAlert(context, KEY, "the catalog is reachable again");
      this.#isRaised = false;
      return;
    }
    const ageMs = this.#tools.clock.now().getTime() - Date.parse(outage.since);
    if (this.#isRaised === true || ageMs < ALERT_AFTER_MS) return;
    this.#isRaised = true;
    void raiseAlert(context, {
      ...{ level: "WARNING", job: "backup", run_id: null, server: null, database: null },
      key: KEY,
      message: `the catalog is unreachable since ${timeText(outage.since)}: this host goes on with its last knowledge`,
      metadata: {
        error: outage.reason,
        hint: "look at the server in catalog.url; backups go on and are recorded later, cleanup and other jobs wait",
      },
    });
  }

  #log(): void {
    const { lease, log } = this.#tools;
    const failing = lease.trouble === undefined ? "" : messageOf(lease.trouble);
    if (failing === this.#logged) return;
    this.#logged = failing;
    if (failing) log.error("the catalog cannot be written", { error: failing });
    else log.info("the catalog can be written again");
  }
}
