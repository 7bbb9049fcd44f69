import { Hono } from "hono";
import type { Clock } from "../base/clock.ts";
import { messageOf } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import { visibleData } from "../base/text/visible.ts";
import type { HttpConfig } from "../config/config.ts";
import type { JobContext } from "../jobs/context.ts";
import { fleetReport } from "../status/fleet/fleet.ts";
import type { FleetReport } from "../status/fleet/report.ts";
import { fleetText } from "../status/fleet/text.ts";
import { fleetJson, fleetVerdict } from "../status/fleet/verdict.ts";
import type { LiveDaemon } from "../status/live-daemon.ts";
import { statusReport } from "../status/status.ts";
import { statusText } from "../status/text.ts";
import { reportJson, type VerdictLevel, verdictOf } from "../status/verdict.ts";
import {
  errorAnswer,
  FORMATS,
  type Format,
  formatOf,
  jsonAnswer,
  pagePolicy,
  secured,
  textAnswer,
} from "./answer.ts";
import { type Asked, refusalOf } from "./guard.ts";
import { healthAnswer, readyAnswer } from "./health.ts";

export interface AppSource {
  live: LiveDaemon;
  /** The settings in force; `listen` holds the address that is bound, not a host name. */
  http: () => HttpConfig;
  log: Log;
  clock: Clock;
}

/**
 * Answers one request. `takePlace` takes one of the places for answers that may be large; it returns false if none is
 * free. Never rejects.
 */
export type Answer = (request: Asked, takePlace: () => boolean) => Promise<Response>;

/** Returns the function that answers requests. It only reads, and keeps nothing between requests. */
export function httpAnswers(source: AppSource): Answer {
  const { http, log } = source;
  const app = routes(source);
  const answer: Answer = async (request, takePlace) => {
    const target = targetOf(request.url);
    const refusal = refusalOf(request, target.pathname, http());
    if (refusal) return errorAnswer(request, refusal.status, refusal.message, refusal.headers);
    // Each answer stays in memory until the client has read it, so their number is limited. /health is exempt: its
    // answer is small, and a busy endpoint must not look like an unhealthy daemon.
    if (target.pathname !== "/health" && !takePlace())
      return errorAnswer(request, 503, "too many requests at the same time", { "retry-after": "1" });
    return await app.fetch(new Request(target.href, { method: request.method, headers: request.headers }));
  };
  return async (request, takePlace) => {
    try {
      return secured(await answer(request, takePlace));
    } catch (error) {
      const path = targetOf(request.url).pathname;
      log.error("answering a request failed", { path, error: messageOf(error) });
      return secured(errorAnswer(request, 500, "the request failed; the daemon's log has the reason"));
    }
  };
}

function routes({ live, clock }: AppSource): Hono {
  const report = shared(() => inForce(live, (context) => statusReport(context, live)));
  const fleet = shared(() => inForce(live, fleetReport));
  const app = new Hono();
  app.get("/health", () => healthAnswer(live, clock));
  app.get("/ready", () => readyAnswer(live, clock));
  app.get("/status", async ({ req }) => {
    const wanted = req.query("format");
    const format = wanted === undefined ? formatOf(req.raw.headers) : FORMATS.find((one) => one === wanted);
    if (format === undefined) return errorAnswer(req.raw, 400, `format must be one of ${FORMATS.join(", ")}`);
    const failing = failingLevels(req.query("fail"));
    if (failing === undefined) return errorAnswer(req.raw, 400, `fail must be one of ${FAIL_VALUES}`);
    const about = fleetWanted(req.query("fleet"));
    if (about === undefined) return errorAnswer(req.raw, 400, FLEET_VALUES);
    if (about) return fleetAnswer(await fleet(), format, failing);
    const shown = await report();
    const status = failing.includes(verdictOf(shown).level) ? 503 : 200;
    return format === "json"
      ? jsonAnswer(reportJson(shown), status, { vary: "accept" })
      : textAnswer(statusText(visibleData(shown)), status, { vary: "accept" });
  });
  app.get("/metrics", async () => {
    const metrics = await import("./metrics/metrics.ts");
    const shown = await report();
    const text = await inForce(live, async (context) =>
      metrics.renderMetrics(shown, await metrics.metricsSource(context)),
    );
    return new Response(text, { headers: { "content-type": metrics.METRICS_CONTENT_TYPE } });
  });
  app.get("/", async ({ req }) => {
    const page = await import("./page/page.tsx");
    const query = page.pageQuery(new URL(req.url).searchParams);
    const shown = await report();
    let status: 200 | 404 = 200;
    const html = await inForce(live, async (context) => {
      if (query.backup !== null) {
        const found = await page.pageBackup(context, query.backup);
        status = found === undefined ? 404 : 200;
        return page.renderBackup(shown, found, query);
      }
      const history = await page.pageHistory(context, query);
      const series = await page.pageSeries(context.catalog, shown, query);
      const year = await page.pageYear(context.catalog, shown, query);
      return page.inTurns(page.pageSteps({ report: shown, history, series, year, query }));
    });
    return new Response(html, {
      status,
      headers: {
        "content-type": "text/html; charset=utf-8",
        "content-security-policy": pagePolicy(page.PAGE_STYLE_HASH),
      },
    });
  });
  app.notFound(({ req }) =>
    errorAnswer(req.raw, 404, "not found; try /, /status, /metrics, /health or /ready"),
  );
  app.onError((error) => {
    throw error;
  });
  return app;
}

const FLEET_VALUES = "fleet must be 1 (all hosts of the catalog) or 0";

/** Whether an answer is to be about all hosts; undefined for an unknown value. */
function fleetWanted(value: string | undefined): boolean | undefined {
  if (value === undefined || value === "0") return false;
  return value === "1" ? true : undefined;
}

function fleetAnswer(report: FleetReport, format: Format, failing: readonly VerdictLevel[]): Response {
  const status = failing.includes(fleetVerdict(report).level) ? 503 : 200;
  return format === "json"
    ? jsonAnswer(fleetJson(report), status, { vary: "accept" })
    : textAnswer(fleetText(visibleData(report)), status, { vary: "accept" });
}

const FAIL_VALUES = "1 (503 if the verdict is bad), warning (503 for a warning as well)";

/** The verdicts that `?fail=` turns into a 503; undefined for an unknown value. */
function failingLevels(value: string | undefined): readonly VerdictLevel[] | undefined {
  if (value === undefined) return [];
  if (value === "1") return ["bad"];
  return value === "warning" ? ["warning", "bad"] : undefined;
}

/** Runs `work` with the context in force. If a reload closed that context meanwhile, runs it again with the new one. */
async function inForce<T>(live: LiveDaemon, work: (context: JobContext) => Promise<T>): Promise<T> {
  const context = live.context();
  try {
    return await work(context);
  } catch (error) {
    if (live.context() === context) throw error;
    return await work(live.context());
  }
}

/** Requests that arrive while a report is being made share that report. */
function shared<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => {
    made ??= make().finally(() => {
      made = undefined;
    });
    return made;
  };
}

/** Path and query of a request line in any form. The host is dropped: `refusalOf` has checked the header already. */
function targetOf(url: string): URL {
  const path = URL.canParse(url) ? new URL(url).pathname + new URL(url).search : url;
  const rest = path.startsWith("/") ? path.replace(/^\/+/, "/") : "/";
  return new URL(rest, "http://localhost");
}
