import { request } from "node:http";
import { deadline, unlessAborted } from "../base/abort.ts";
import type { Clock } from "../base/clock.ts";
import { messageOf } from "../base/errors.ts";
import { MIB } from "../base/limits.ts";
import type { HttpConfig } from "../config/config.ts";
import { listenText } from "../config/schema/http.ts";
import type { StatusReport } from "../status/report.ts";

const ASKED_MS_MAX = 3_000;
/** Ten times the size of a report of 10,000 databases. */
const ANSWER_BYTES_MAX = 128 * MIB;
/** A daemon that listens at all addresses also listens at the loopback address. */
const ANY_HOST: Readonly<Record<string, string>> = { "0.0.0.0": "127.0.0.1", "::": "::1" };

/** The report from the daemon of this config, or the reason why there is none (`127.0.0.1:8321: ECONNREFUSED`). */
export async function askDaemon(
  http: HttpConfig,
  { clock, signal }: { clock: Clock; signal: AbortSignal },
): Promise<StatusReport | string> {
  const { listen } = http;
  if (listen.type === "off") return "http.listen is off";
  if (listen.type === "tcp" && listen.port === 0)
    return "http.listen has port 0: only the daemon's log has the actual port";
  const late = () => new Error(`no answer within ${ASKED_MS_MAX} ms`);
  using time = deadline({ clock, signal, durationMs: ASKED_MS_MAX }, late);
  const found = await unlessAborted(answerOf(http, time.signal), time.signal).catch(messageOf);
  signal.throwIfAborted();
  return typeof found === "string" ? `${listenText(listen)}: ${found}` : found;
}

/** Not with `fetch`, which would send the token to a proxy that the environment configures. */
function answerOf({ listen, token }: HttpConfig, signal: AbortSignal): Promise<StatusReport | string> {
  const place =
    listen.type === "tcp"
      ? { host: ANY_HOST[listen.host] ?? listen.host, port: listen.port }
      : { socketPath: listen.type === "unix" ? listen.path : "" };
  return new Promise((resolve, reject) => {
    const asking = request({
      ...place,
      path: "/status?format=json",
      headers: {
        host: "localhost",
        accept: "application/json",
        ...(token && { authorization: `Bearer ${token.reveal()}` }),
      },
      signal,
    });
    asking.on("error", (error: NodeJS.ErrnoException) => reject(new Error(error.code ?? error.message)));
    asking.on("response", (answer) => {
      const parts: Buffer[] = [];
      let bytes = 0;
      answer.on("error", reject);
      answer.on("data", (part: Buffer) => {
        bytes += part.length;
        parts.push(part);
        if (bytes > ANSWER_BYTES_MAX)
          asking.destroy(new Error("the answer is too long to be a status report"));
      });
      answer.on("end", () => resolve(reportIn(answer.statusCode ?? 0, Buffer.concat(parts).toString())));
    });
    asking.end();
  });
}

/** The report in an answer, or the reason why it has none: another program may answer, or a daemon with another token. */
function reportIn(status: number, text: string): StatusReport | string {
  if (status === 401)
    return "the daemon refused the token of this config; was it reloaded after a change of the token?";
  if (status !== 200) return `HTTP status ${status}`;
  try {
    const report = JSON.parse(text) as Partial<StatusReport> | null;
    const lists = [report?.jobs, report?.schedules, report?.running, report?.databases, report?.storages];
    if (report?.daemon && [...lists, report.alerts].every(Array.isArray)) {
      // A daemon from before an upgrade does not report its notifiers.
      return { notifiers: [], ...report } as unknown as StatusReport;
    }
  } catch {
    // Not JSON.
  }
  return "another program answers there, not pg321";
}
