import { unlessLate } from "../base/abort.ts";
import type { Clock } from "../base/clock.ts";
import { messageOf } from "../base/errors.ts";
import { HEALTH_MS_MAX } from "../base/limits.ts";
import { outageText } from "../status/catalog-outage.ts";
import type { LiveDaemon } from "../status/live-daemon.ts";
import { jsonAnswer } from "./answer.ts";

type Asked = Pick<LiveDaemon, "problems" | "waits" | "context">;

/**
 * `/health`: whether the daemon works. Answers within `HEALTH_MS_MAX` and asks no storage and no server. A daemon that
 * works without its catalog is degraded, but healthy: a restart would not help.
 */
export async function healthAnswer(live: Asked, clock: Clock): Promise<Response> {
  const problems = await problemsOf(live, clock);
  const degraded = degradations(live);
  return problems.length === 0 && degraded.length > 0
    ? jsonAnswer(JSON.stringify({ status: "degraded", reasons: degraded }))
    : answerOf("ok", "failing", problems);
}

function degradations(live: Asked): string[] {
  const text = outageText(live.context().catalog.spool?.status());
  return text === undefined ? [] : [text];
}

/** `/ready`: whether the daemon has started and is not stopping. */
export async function readyAnswer(live: Asked, clock: Clock): Promise<Response> {
  return answerOf("ready", "waiting", [...live.waits(), ...(await problemsOf(live, clock))]);
}

/** In one line, so that probes that do not parse JSON can search for the words. */
function answerOf(well: string, ill: string, reasons: readonly string[]): Response {
  return reasons.length === 0
    ? jsonAnswer(JSON.stringify({ status: well }))
    : jsonAnswer(JSON.stringify({ status: ill, reasons }), 503);
}

async function problemsOf(live: Asked, clock: Clock): Promise<string[]> {
  const late = () => new Error(`no answer from the daemon within ${HEALTH_MS_MAX} ms`);
  try {
    return await unlessLate(live.problems(), { clock, durationMs: HEALTH_MS_MAX }, late);
  } catch (error) {
    return [messageOf(error)];
  }
}
