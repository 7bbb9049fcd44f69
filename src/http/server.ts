import { waitAtMost } from "../base/abort.ts";
import type { Clock } from "../base/clock.ts";
import { HTTP_GRACE_MS } from "../base/limits.ts";
import type { Log } from "../base/log.ts";
import type { Config, HttpConfig, Listen } from "../config/config.ts";
import { listenText } from "../config/schema/http.ts";
import type { LiveDaemon } from "../status/live-daemon.ts";
import { type Answer, httpAnswers } from "./app.ts";
import { isLoopback } from "./guard.ts";
import { addressOf, boundTo, type Listening, listen } from "./listen.ts";

export interface HttpOptions {
  live: LiveDaemon;
  config: Pick<Config, "http">;
  log: Log;
  clock: Clock;
}

/** The daemon's endpoint, open until it is stopped. */
export interface HttpServer {
  /** `http://127.0.0.1:8321`, `unix:/run/pg321/http.sock`, or `off`. */
  readonly address: string;
  /**
   * Applies the [http] table of another config: token and hosts at once, and another address by opening it before
   * the current one is closed. Rejects as `serveHttp` does, and then stays as it was.
   */
  reconfigure(config: Pick<Config, "http">): Promise<void>;
  /** Accepts no new requests, and gives those in progress a moment to end. */
  stop(): Promise<void>;
}

interface Open {
  /** As in the config. */
  at: Listen;
  /** The port that is bound. */
  port: number | undefined;
  listening: Listening | undefined;
  address: string;
  /** The settings that its answers follow. */
  settings: { http: HttpConfig };
}

/**
 * Opens the endpoint, or none if `http.listen` is off. Rejects with code `locked` if the address is in use or does
 * not exist yet, and with code `usage` if it can never be bound.
 */
export async function serveHttp({ live, config, log, clock }: HttpOptions): Promise<HttpServer> {
  // Each endpoint has its own settings from its first request on, because a new one opens before the old one closes.
  const openAt = (http: HttpConfig) =>
    open(http, (settings) => httpAnswers({ live, http: settings, log, clock }), { log, clock });
  let current = await openAt(config.http);
  /** The current endpoint stays open until the new one is; only if both use the same port does it close first. */
  const move = async (wanted: HttpConfig): Promise<void> => {
    const former = current;
    const other = await openAt(wanted).catch((error) => {
      if (former.port === undefined || former.port !== portOf(wanted.listen)) throw error;
    });
    if (other) current = other;
    await close(former, clock);
    if (other) return;
    current = await openAt(wanted).catch(async (error) => {
      const back = await openAt({ ...former.settings.http, listen: withPort(former.at, former.port) });
      current = { ...back, at: former.at };
      throw error;
    });
  };
  return {
    get address() {
      return current.address;
    },
    async reconfigure({ http: wanted }) {
      if (listenText(wanted.listen) !== listenText(current.at)) await move(wanted);
      else current.settings.http = wanted;
    },
    stop: () => close(current, clock),
  };
}

function portOf(at: Listen): number | undefined {
  return at.type === "tcp" ? at.port : undefined;
}

function withPort(at: Listen, port: number | undefined): Listen {
  return at.type === "tcp" && port !== undefined ? { ...at, port } : at;
}

async function open(
  http: HttpConfig,
  answersBy: (settings: () => HttpConfig) => Answer,
  { log, clock }: Pick<HttpOptions, "log" | "clock">,
): Promise<Open> {
  const { listen: at, token } = http;
  const settings = { http };
  if (at.type === "off") return { at, port: undefined, listening: undefined, address: "off", settings };
  // Requests may arrive before `listen` returns, so `bound` starts with the address of the config.
  let bound: Listen = at;
  const listening = await listen(
    at,
    answersBy(() => ({ ...settings.http, listen: bound })),
    clock,
  );
  const address = addressOf(at, listening);
  bound = boundTo(at, listening);
  log.info("the HTTP endpoint is open", { address });
  if (token === undefined && bound.type === "tcp" && !isLoopback(bound))
    log.warning("anybody who can reach the HTTP endpoint can read it: set http.token", { address });
  return { at, port: listening.port, listening, address, settings };
}

async function close({ listening }: Open, clock: Clock): Promise<void> {
  if (!listening) return;
  await waitAtMost(listening.stop(), { clock, durationMs: HTTP_GRACE_MS });
  await listening.end();
}
