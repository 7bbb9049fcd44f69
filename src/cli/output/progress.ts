import type { Clock } from "../../base/clock.ts";
import type { Log } from "../../base/log.ts";
import { plural } from "../../base/text/amounts.ts";
import { visible } from "../../base/text/visible.ts";
import type { JobProgress, ProgressListener } from "../../jobs/progress.ts";
import type { Style } from "./output.ts";
import { durationText, rateText, sizeText } from "./output.ts";
import type { Work } from "./work-under-way.ts";
import { isEstimate, shareOf, shownEvery, timeLeftMs } from "./work-under-way.ts";

const TERMINAL_INTERVAL_MS = 200;
const LOG_INTERVAL_MS = 30_000;

export interface TerminalOptions {
  draw: (lines: readonly string[]) => void;
  columns: () => number;
  style: Style;
  clock: Clock;
}

/** Shows each piece of work in progress, redrawn in place: one line, and more for the storages if they do not fit. */
export function terminalProgress({ draw, columns, style, clock }: TerminalOptions): ProgressListener {
  return shownEvery(TERMINAL_INTERVAL_MS, clock, (works) => {
    const columnsMax = columns() - 1;
    const lines = works.flatMap((work) => linesOf(work, style, columnsMax));
    draw(lines.map((line) => truncated(line, columnsMax)));
  });
}

/** Logs a line every 30 s for each piece of work, for when stderr is not a terminal. */
export function logProgress(log: Log, clock: Clock): ProgressListener {
  return shownEvery(LOG_INTERVAL_MS, clock, (works) => {
    for (const { elapsedMs, progress } of works) {
      const states = [...progress.storages].map(([name, { bytes, state }]) => `${name}:${state}:${bytes}`);
      const counts =
        progress.unit === undefined
          ? { bytes: progress.bytes, expected_bytes: progress.expectedBytes }
          : { [progress.unit]: progress.bytes, expected: progress.expectedBytes };
      log.info("progress", {
        work: progress.title,
        ...counts,
        elapsed_ms: Math.round(elapsedMs),
        storages: states.join(" ") || undefined,
      });
    }
  });
}

/** `backup main/app  1.0 GiB, 25% of about 4.0 GiB  90.1 MiB/s  11.4 s, about 34.1 s left  disk 1.0 GiB  r2 0.9 GiB` */
function linesOf({ progress, elapsedMs, ratePerMs }: Work, style: Style, columnsMax: number): string[] {
  const { title, unit, storages } = progress;
  const states = [...storages].map(([name, { bytes: taken, state }]) => {
    const text = state === "writing" ? `${name} ${sizeText(taken)}` : `${name} ${state}`;
    return state === "writing" ? text : state === "stored" ? style.good(text) : style.bad(text);
  });
  const left = timeLeftMs({ progress, elapsedMs, ratePerMs });
  const parts = [
    style.bold(visible(title)),
    amountText(progress),
    // The first bytes arrive at once, so the rate would be far too high.
    ...(unit === undefined ? [elapsedMs < TERMINAL_INTERVAL_MS ? "-" : rateText(ratePerMs, 1)] : []),
    durationText(elapsedMs) + (left === undefined ? "" : `, about ${durationText(left)} left`),
  ];
  const line = [...parts, ...states].join("  ");
  if (Bun.stringWidth(line) <= columnsMax || states.length === 0) return [line];
  return [parts.join("  "), ...wrapped(states, columnsMax)];
}

/** `1.0 GiB, 25% of about 4.0 GiB`, `300 objects, 25% of 1,200`, `2 of 12 databases`. */
function amountText(progress: JobProgress): string {
  const { bytes, expectedBytes = 0, unit } = progress;
  if (unit === "databases") return `${bytes} of ${plural(expectedBytes, "database")}`;
  return (unit === undefined ? sizeText(bytes) : plural(bytes, unit.slice(0, -1))) + shareText(progress);
}

/** An estimate never says that everything is done. */
function shareText(progress: JobProgress): string {
  const share = shareOf(progress);
  if (share === undefined) return "";
  const { expectedBytes = 0, unit } = progress;
  const percent = Math.floor(Math.min(isEstimate(progress) ? 0.99 : 1, share) * 100);
  const expected = unit === undefined ? sizeText(expectedBytes) : expectedBytes.toLocaleString("en");
  return `, ${percent}% of ${isEstimate(progress) ? "about " : ""}${expected}`;
}

/** Indented lines with as many storages as fit in each. */
function wrapped(states: readonly string[], columnsMax: number): string[] {
  const lines: string[] = [];
  for (const state of states) {
    const longer = `${lines.at(-1) ?? ""}  ${state}`;
    if (lines.length > 0 && Bun.stringWidth(longer) <= columnsMax) lines[lines.length - 1] = longer;
    else lines.push(`  ${state}`);
  }
  return lines;
}

/** Cuts a line to `columnsMax` columns without cutting an escape sequence. */
function truncated(line: string, columnsMax: number): string {
  if (Bun.stringWidth(line) <= columnsMax) return line;
  return `${Bun.sliceAnsi(line, 0, Math.max(0, columnsMax - 1))}…`;
}
