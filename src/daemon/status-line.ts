import { rfc3339 } from "../base/clock.ts";
import type { RunningStatus } from "../status/report.ts";

/** The line in `systemctl status`: what the daemon is doing now, and the next run. */
export function statusLine(
  running: readonly RunningStatus[],
  nextRuns: ReadonlyMap<string, Date>,
  { isStopping = false, refused = false }: { isStopping?: boolean; refused?: boolean } = {},
): string {
  const parts = running.map(describe);
  if (isStopping) return ["stopping", ...parts].join("; ");
  if (parts.length === 0) parts.push("idle");
  const [next] = [...nextRuns].sort(([, one], [, other]) => one.getTime() - other.getTime());
  parts.push(next ? `next: ${next[0]} at ${rfc3339(next[1])}` : "nothing is scheduled");
  if (refused) parts.push("the last reload was refused, the previous config stays in force");
  return parts.join("; ");
}

function describe({ schedule, job, state, progress }: RunningStatus): string {
  const name = schedule ?? job;
  if (state === "queued") return `${name} waits for its turn`;
  if (state === "retrying") return `${name} waits for its next retry`;
  const works = progress.map(({ title, bytes, expected_bytes }) =>
    expected_bytes === null || expected_bytes === 0
      ? title
      : `${title} ${Math.min(100, Math.floor((bytes / expected_bytes) * 100))} %`,
  );
  return works.length === 0 ? `${name} is running` : works.join(", ");
}
