import { Hono } from "hono";
import type { Clock } from "../base/clock.ts";
import { messageOf } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import { inTurns } from "../base/steps.ts";
import { jsonSteps } from "../base/text/json.ts";
import { visibleSteps } from "../base/text/visible.ts";
import type { HttpConfig } from "../config/config.ts";
import type { JobContext } from "../jobs/context.ts";
import { fleetReport } from "../status/fleet/fleet.ts";
import type { LiveDaemon } from "../status/live-daemon.ts";
import type { StatusReport } from "../status/report.ts";
import { statusReport } from "../status/status.ts";
import { statusSteps } from "../status/text.ts";
import { reportJson, verdictOf } from "../status/verdict.ts";
import { errorAnswer, pageAnswer, secured } from "./answer.ts";
import { fleetRoutes } from "./fleet.ts";
import { type Asked, refusalOf } from "./guard.ts";
import { healthAnswer, readyAnswer } from "./health.ts";
import type { PageQuery } from "./page/query.ts";
import { sharing } from "./sharing.ts";
import { type StatusForms, statusAnswers } from "./status.ts";

export interface AppSource {
  live: LiveDaemon;
  /** The settings in force; `listen` holds the address that is bound, not a host name. */
  http: () => HttpConfig;
  log: Log;
  clock: Clock;
}

/** The places for answers that may be large. */
export interface Places {
  /** Takes one; false if none is free. */
  take(): boolean;
  /** Whether many are taken. */
  areFew(): boolean;
}

/** Answers one request. Never rejects. */
export type Answer = (request: Asked, places: Places) => Promise<Response>;

/** Returns the function that answers requests. It only reads, and keeps nothing between requests unless places are few. */
export function httpAnswers(source: AppSource): Answer {
  const { http, log } = source;
  let areFew = () => false;
  const app = routes(source, () => areFew());
  const answer: Answer = async (request, places) => {
    const target = targetOf(request.url);
    const refusal = refusalOf(request, target.pathname, http());
    if (refusal) return errorAnswer(request, refusal.status, refusal.message, refusal.headers);
    // Each answer stays in memory until the client has read it, so their number is limited. /health is exempt: its
    // answer is small, and a busy endpoint must not look like an unhealthy daemon.
    if (target.pathname !== "/health" && !places.take())
      return errorAnswer(request, 503, "too many requests at the same time", { "retry-after": "1" });
    areFew = places.areFew;
    return await app.fetch(new Request(target.href, { method: request.method, headers: request.headers }));
  };
  return async (request, places) => {
    try {
      return secured(await answer(request, places));
    } catch (error) {
      const path = targetOf(request.url).pathname;
      log.error("answering a request failed", { path, error: messageOf(error) });
      return secured(errorAnswer(request, 500, "the request failed; the daemon's log has the reason"));
    }
  };
}

function routes({ live, clock }: AppSource, areFew: () => boolean): Hono {
  const shared = sharing(areFew, clock);
  const report = shared(() => inForce(live, (context) => statusReport(context, live)));
  const metricsText = shared(async () => {
    const metrics = await import("./metrics/metrics.ts");
    const shown = await report();
    const text = inForce(live, async (context) =>
      metrics.renderMetrics(shown, await metrics.metricsSource(context)),
    );
    return new Blob([await text]);
  });
  const app = new Hono();
  // First: they leave requests without ?fleet=1 to the others.
  fleetRoutes(
    app,
    shared(() => inForce(live, fleetReport)),
    shared,
  );
  app.get("/health", () => healthAnswer(live, clock));
  app.get("/ready", () => readyAnswer(live, clock));
  const forms: StatusForms<StatusReport> = {
    report,
    levelOf: (shown) => verdictOf(shown).level,
    json: (shown) => jsonSteps(reportJson(shown)),
    *text(shown) {
      return yield* statusSteps(yield* visibleSteps(shown));
    },
  };
  const status = statusAnswers(forms, shared);
  app.get("/status", ({ req }) => status(req));
  app.get("/metrics", async () => {
    const metrics = await import("./metrics/metrics.ts");
    return new Response(await metricsText(), { headers: { "content-type": metrics.METRICS_CONTENT_TYPE } });
  });
  const shownPage = shared(async (query: PageQuery) => {
    const page = await import("./page/page.tsx");
    const shown = await report();
    return inForce(live, async (context) => {
      const { isShared } = context.catalog;
      if (query.backup !== null) {
        const found = await page.pageBackup(context, query.backup);
        return { isFound: found !== undefined, html: page.renderBackup(shown, found, query, isShared) };
      }
      const history = await page.pageHistory(context, query);
      const series = await page.pageSeries(context.catalog, shown, query);
      const year = await page.pageYear(context.catalog, shown, query);
      const steps = page.pageSteps({ report: shown, history, series, year, query, isShared });
      return { isFound: true, html: new Blob([await inTurns(steps)]) };
    });
  });
  app.get("/", async ({ req }) => {
    const { PAGE_STYLE_HASH, pageQuery } = await import("./page/page.tsx");
    const { isFound, html } = await shownPage(pageQuery(new URL(req.url).searchParams));
    return pageAnswer(html, PAGE_STYLE_HASH, isFound ? 200 : 404);
  });
  app.notFound(({ req }) =>
    errorAnswer(req.raw, 404, "not found; try /, /status, /metrics, /health or /ready"),
  );
  app.onError((error) => {
    throw error;
  });
  return app;
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

/** Path and query of a request line in any form. The host is dropped: `refusalOf` has checked the header already. */
function targetOf(url: string): URL {
  const path = URL.canParse(url) ? new URL(url).pathname + new URL(url).search : url;
  const rest = path.startsWith("/") ? path.replace(/^\/+/, "/") : "/";
  return new URL(rest, "http://localhost");
}
