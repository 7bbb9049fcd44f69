import { RECORD_AHEAD_MS_MAX } from "../base/limits.ts";

/** What began later did so under a clock that was ahead, or ours is behind. RFC 3339 UTC. */
export function believedUntil(now: Date): string {
  return new Date(now.getTime() + RECORD_AHEAD_MS_MAX).toISOString();
}
