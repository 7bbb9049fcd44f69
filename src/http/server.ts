import type { Clock } from "../base/clock.ts";
import { HTTP_GRACE_MS } from "../base/limits.ts";
import type { Log } from "../base/log.ts";
import type { Config, HttpConfig, Listen } from "../config/config.ts";
import { listenText } from "../config/http-schema.ts";
import type { LiveDaemon } from "../jobs/live-state.ts";
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
   * Takes over the [http] table of another config: token and hosts at once, another address by opening that
   * before the one so far is closed. Rejects as `serveHttp` does, and then goes on as it was.
   */
  reconfigure(config: Pick<Config, "http">): Promise<void>;
  /** Takes no new requests, and lets those under way end for a moment. */
  stop(): Promise<void>;
}

interface Open {
  /** As in the config. */
  at: Listen;
  /** The address that this came to. */
  bound: Listen;
  /** The one that was taken. */
  port: number | undefined;
  listening: Listening | undefined;
  address: string;
}

/**
 * Opens the endpoint, or none where `http.listen` is off. Rejects with code `locked` when the address is in use
 * or is not there yet, with code `usage` when it cannot be had at all.
 */
export async function serveHttp({ live, config, log, clock }: HttpOptions): Promise<HttpServer> {
  let http = config.http;
  const { listen: at } = http;
  // Requests may come while it opens.
  let current: Open = { at, bound: at, port: undefined, listening: undefined, address: "off" };
  const answer = httpAnswers({ live, http: () => ({ ...http, listen: current.bound }), log, clock });
  current = await open(http, answer, log);
  const take = (opened: Open, wanted: HttpConfig) => {
    current = opened;
    http = wanted;
  };
  /** The one so far stays open until the other one is; where both take one port, it has to make room first. */
  const move = async (wanted: HttpConfig): Promise<void> => {
    const former = current;
    const other = await open(wanted, answer, log).catch((error) => {
      if (former.port === undefined || former.port !== portOf(wanted.listen)) throw error;
    });
    // Before the former one has ended: the other one answers already, and must ask for its own token.
    if (other) take(other, wanted);
    await close(former, clock);
    if (other) return;
    const opened = await open(wanted, answer, log).catch(async (error) => {
      const back = await open({ ...http, listen: withPort(former.at, former.port) }, answer, log);
      current = { ...back, at: former.at };
      throw error;
    });
    take(opened, wanted);
  };
  return {
    get address() {
      return current.address;
    },
    async reconfigure({ http: wanted }) {
      if (listenText(wanted.listen) !== listenText(current.at)) await move(wanted);
      else http = wanted;
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

async function open(http: HttpConfig, answer: Answer, log: Log): Promise<Open> {
  const { listen: at, token } = http;
  if (at.type === "off") return { at, bound: at, port: undefined, listening: undefined, address: "off" };
  const listening = await listen(at, answer);
  const address = addressOf(at, listening);
  const bound = boundTo(at, listening);
  log.info("the endpoint is open", { address });
  if (token === undefined && bound.type === "tcp" && !isLoopback(bound))
    log.warning("everybody who reaches the endpoint can read it: set http.token", { address });
  return { at, bound, port: listening.port, listening, address };
}

async function close({ listening }: Open, clock: Clock): Promise<void> {
  if (!listening) return;
  const closed = new AbortController();
  const tooLong = clock.sleep(HTTP_GRACE_MS, closed.signal).catch(() => {});
  await Promise.race([listening.stop(), tooLong]);
  closed.abort();
  await listening.end();
}
