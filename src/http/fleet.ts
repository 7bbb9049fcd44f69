import type { Hono, HonoRequest } from "hono";
import { inTurns } from "../base/steps.ts";
import { jsonSteps } from "../base/text/json.ts";
import { visibleSteps } from "../base/text/visible.ts";
import type { FleetReport } from "../status/fleet/report.ts";
import { fleetSteps } from "../status/fleet/text.ts";
import { fleetJson, fleetVerdict } from "../status/fleet/verdict.ts";
import { errorAnswer, pageAnswer } from "./answer.ts";
import type { PageQuery } from "./page/query.ts";
import type { Sharing } from "./sharing.ts";
import { type StatusForms, statusAnswers } from "./status.ts";

const FLEET_VALUES = "fleet must be 1 (all hosts of the catalog) or 0";

/** Answers the requests with `?fleet=1`, which are about all hosts of the catalog; leaves others to the next routes. */
export function fleetRoutes(app: Hono, report: () => Promise<FleetReport>, shared: Sharing): void {
  const forms: StatusForms<FleetReport> = {
    report,
    levelOf: (shown) => fleetVerdict(shown).level,
    json: (shown) => jsonSteps(fleetJson(shown)),
    *text(shown) {
      return yield* fleetSteps(yield* visibleSteps(shown));
    },
  };
  const status = statusAnswers(forms, shared);
  const metrics = shared(async () => {
    const { renderFleetMetrics } = await import("./metrics/fleet.ts");
    return new Blob([await renderFleetMetrics(await report())]);
  });
  const page = shared(async (query: PageQuery) => {
    const { fleetPageSteps } = await import("./page/fleet.tsx");
    return new Blob([await inTurns(fleetPageSteps(await report(), query))]);
  });
  app.get("/status", async ({ req }, next) => {
    const refused = refusalOf(req);
    if (refused) return refused;
    return req.query("fleet") === "1" ? await status(req) : await next();
  });
  app.get("/metrics", async ({ req }, next) => {
    const refused = refusalOf(req);
    if (refused || req.query("fleet") !== "1") return refused ?? (await next());
    const { METRICS_CONTENT_TYPE } = await import("./metrics/metrics.ts");
    return new Response(await metrics(), { headers: { "content-type": METRICS_CONTENT_TYPE } });
  });
  app.get("/", async ({ req }, next) => {
    if (req.query("fleet") !== "1") return await next();
    const { PAGE_STYLE_HASH, pageQuery } = await import("./page/page.tsx");
    return pageAnswer(await page(pageQuery(new URL(req.url).searchParams)), PAGE_STYLE_HASH);
  });
}

/** A page ignores values that it does not know; programs learn of their mistake. */
function refusalOf(req: HonoRequest): Response | undefined {
  const wanted = req.query("fleet");
  return wanted === undefined || wanted === "0" || wanted === "1"
    ? undefined
    : errorAnswer(req.raw, 400, FLEET_VALUES);
}
