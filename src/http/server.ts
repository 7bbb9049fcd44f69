import type { Server } from "bun";
import type { Clock } from "../base/clock.ts";
import { HTTP_GRACE_MS } from "../base/limits.ts";
import type { Log } from "../base/log.ts";
import type { Config, HttpConfig, Listen } from "../config/config.ts";
import { listenText } from "../config/http-schema.ts";
import type { LiveDaemon } from "../jobs/live-state.ts";
import { type Answer, httpAnswers } from "./app.ts";
import { isLoopback } from "./guard.ts";
import { addressOf, listen } from "./listen.ts";

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
  /** The one that was taken. */
  port: number | undefined;
  server: Server<undefined> | undefined;
  address: string;
}

/**
 * Opens the endpoint, or none where `http.listen` is off. Rejects with code `locked` when the address is in use
 * or is not there yet, with code `usage` when it cannot be had at all.
 */
export async function serveHttp({ live, config, log, clock }: HttpOptions): Promise<HttpServer> {
  let http = config.http;
  const answer = httpAnswers({ live, http: () => http, log, clock });
  let current = await open(http, answer, log);
  /** The one so far stays open until the other one is; where both take one port, it has to make room first. */
  const move = async (former: Open, wanted: HttpConfig): Promise<Open> => {
    const other = await open(wanted, answer, log).catch((error) => {
      if (former.port === undefined || former.port !== portOf(wanted.listen)) throw error;
    });
    await close(former, clock);
    if (other) return other;
    return await open(wanted, answer, log).catch(async (error) => {
      const back = await open({ ...http, listen: withPort(former.at, former.port) }, answer, log);
      current = { ...back, at: former.at };
      throw error;
    });
  };
  return {
    get address() {
      return current.address;
    },
    async reconfigure({ http: wanted }) {
      if (listenText(wanted.listen) !== listenText(current.at)) {
        current = await move(current, wanted);
      }
      http = wanted;
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
  if (at.type === "off") return { at, port: undefined, server: undefined, address: "off" };
  const server = await listen(at, answer);
  const address = addressOf(at, server);
  log.info("the endpoint is open", { address });
  if (token === undefined && at.type === "tcp" && !isLoopback(at))
    log.warning("everybody who reaches the endpoint can read it: set http.token", { address });
  return { at, port: server.port, server, address };
}

async function close({ server }: Open, clock: Clock): Promise<void> {
  if (!server) return;
  const closed = new AbortController();
  const tooLong = clock.sleep(HTTP_GRACE_MS, closed.signal).catch(() => {});
  await Promise.race([server.stop(false), tooLong]);
  closed.abort();
  await server.stop(true);
}
