import type { Clock } from "../base/clock.ts";
import type { Log } from "../base/log.ts";
import type { Catalog } from "../catalog/catalog.ts";
import type { Config } from "../config/config.ts";

/** Everything needed to raise and resolve alerts; a job's context has it. */
export interface AlertContext {
  catalog: Catalog;
  clock: Clock;
  config: Config;
  host: string;
  /** Id of this installation. */
  installation: string;
  log: Log;
}

/** Everything needed to send notices. */
export interface DeliveryContext extends AlertContext {
  signal: AbortSignal;
}
