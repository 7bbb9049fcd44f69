import type { Clock } from "../base/clock.ts";
import { messageOf, Pg321Error } from "../base/errors.ts";
import { MINUTE_MS } from "../base/limits.ts";
import type { Log } from "../base/log.ts";
import type { Config } from "../config/config.ts";
import type { LiveDaemon } from "../status/live-daemon.ts";
import type { HttpServer } from "./server.ts";

interface EndpointOptions {
  live: LiveDaemon;
  log: Log;
  clock: Clock;
}

const ENDPOINT_RETRY_MS = MINUTE_MS;

/** The HTTP endpoint of a daemon. If its address is in use, opening it is retried while backups run as usual. */
export class HttpEndpoint {
  readonly #options: EndpointOptions;
  readonly #closing = new AbortController();
  #config: Pick<Config, "http"> | undefined;
  #server: HttpServer | undefined;
  #opening: Promise<void> = Promise.resolve();

  constructor(options: EndpointOptions) {
    this.#options = options;
  }

  /** Throws code `usage` for an address that can never be bound. */
  async open(config: Pick<Config, "http">): Promise<void> {
    this.#config = config;
    if (!(await this.#try())) this.#opening = this.#tryAgain();
  }

  /** Applies another config. Throws, and changes nothing, if the new address cannot be bound. */
  async reconfigure(config: Pick<Config, "http">): Promise<void> {
    await this.#server?.reconfigure(config);
    this.#config = config;
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await this.#opening;
    await this.#server?.stop();
  }

  async #try(): Promise<boolean> {
    const { live, log, clock } = this.#options;
    const config = this.#config;
    if (!config) return true;
    try {
      const { serveHttp } = await import("./server.ts");
      this.#server = await serveHttp({ live, config, log, clock });
      return true;
    } catch (error) {
      if (!(error instanceof Pg321Error && error.code === "locked")) throw error;
      log.error("the HTTP endpoint could not be opened; trying again every minute", {
        error: messageOf(error),
        hint: error.hint,
      });
      return false;
    }
  }

  async #tryAgain(): Promise<void> {
    const { clock, log } = this.#options;
    do await clock.sleep(ENDPOINT_RETRY_MS, this.#closing.signal).catch(() => {});
    while (
      !this.#closing.signal.aborted &&
      !(await this.#try().catch((error) => {
        log.error("the HTTP endpoint could not be opened", { error: messageOf(error) });
        return false;
      }))
    );
  }
}
