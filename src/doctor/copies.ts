import type { Clock } from "../base/clock.ts";
import type { Config } from "../config/config.ts";
import { findSharedPlaces } from "../jobs/shared-places.ts";
import { lastTwoNotSetUp, threeTwoOne } from "../rule/setup.ts";
import type { Seen } from "./finding.ts";
import { failed, ok, warning } from "./finding.ts";

/** Storages that are one place, which makes them one copy, and how far the config meets 3-2-1-1-0. */
export async function lookAtCopies(
  config: Pick<Config, "server" | "storage" | "rule" | "schedule">,
  clock: Clock,
  signal: AbortSignal,
): Promise<Seen[]> {
  const { server, storage, rule } = config;
  const shared = await findSharedPlaces({ storage }, { clock, signal });
  const places = shared.map(({ error }) => ({
    ...failed("usage", error.message, error.hint),
    subject: "places",
  }));
  // The rule is a matter of the host that makes the backups.
  if (server.length === 0) return places;
  const twins = shared.map(({ names: [, second] }) => second);
  const { isMet, message, hint } = threeTwoOne(
    storage.filter(({ name }) => !twins.includes(name)),
    rule,
  );
  const more = lastTwoNotSetUp(config);
  return [
    ...places,
    isMet
      ? ok([message, more ?? []].flat().join("; "))
      : warning(message, hint && `${hint} (docs/rule.md explains 3-2-1-1-0)`),
  ];
}
