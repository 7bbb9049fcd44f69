import type { Clock } from "../../base/clock.ts";
import type { Log } from "../../base/log.ts";
import { visible } from "../../base/text/visible.ts";
import type { JobProgress, ProgressListener } from "../../jobs/progress.ts";
import type { Style } from "./output.ts";
import { durationText, rateText, sizeText } from "./output.ts";

const TERMINAL_INTERVAL_MS = 200;
const LOG_INTERVAL_MS = 30_000;

export interface TerminalOptions {
  draw: (lines: readonly string[]) => void;
  columns: () => number;
  style: Style;
  clock: Clock;
}

/** Shows one line for each piece of work in progress, redrawn in place. */
export function terminalProgress({ draw, columns, style, clock }: TerminalOptions): ProgressListener {
  return shownEvery(TERMINAL_INTERVAL_MS, clock, (works) => {
    const now = clock.monotonicMs();
    const lines = works.map(({ startedAtMs, progress }) => lineOf(progress, now - startedAtMs, style));
    draw(lines.map((line) => truncated(line, columns() - 1)));
  });
}

/** Logs a line every 30 s for each piece of work, for when stderr is not a terminal. */
export function logProgress(log: Log, clock: Clock): ProgressListener {
  return shownEvery(LOG_INTERVAL_MS, clock, (works) => {
    for (const { startedAtMs, progress } of works) {
      const states = [...progress.storages].map(([name, { bytes, state }]) => `${name}:${state}:${bytes}`);
      log.info("progress", {
        work: progress.title,
        bytes: progress.bytes,
        expected_bytes: progress.expectedBytes,
        elapsed_ms: Math.round(clock.monotonicMs() - startedAtMs),
        storages: states.join(" ") || undefined,
      });
    }
  });
}

interface Work {
  startedAtMs: number;
  progress: JobProgress;
}

/**
 * Calls `show` every `intervalMs` with the work in progress, even if nothing has changed: stalled work is what people
 * look for. Finished work disappears with the next call, or at once if it was the last.
 */
function shownEvery(intervalMs: number, clock: Clock, show: (works: Work[]) => void): ProgressListener {
  const underWay = new Map<string, Work>();
  let ticking: AbortController | undefined;
  const tick = async (signal: AbortSignal) => {
    for (;;) {
      await clock.sleep(intervalMs, signal);
      show([...underWay.values()]);
    }
  };
  return {
    update(progress) {
      const startedAtMs = underWay.get(progress.title)?.startedAtMs ?? clock.monotonicMs();
      underWay.set(progress.title, { startedAtMs, progress });
      if (ticking) return;
      ticking = new AbortController();
      tick(ticking.signal).catch(() => {});
    },
    end(title) {
      underWay.delete(title);
      if (underWay.size > 0) return;
      ticking?.abort();
      ticking = undefined;
      show([]);
    },
  };
}

function lineOf(
  { title, bytes, expectedBytes, storages }: JobProgress,
  elapsedMs: number,
  style: Style,
): string {
  // The size on the server's disk is only an estimate, so the share is kept below 100 %.
  const share = expectedBytes
    ? ` ${Math.min(99, Math.floor((bytes / expectedBytes) * 100))}% of ~${sizeText(expectedBytes)}`
    : "";
  const states = [...storages].map(([name, { bytes: taken, state }]) => {
    const text = state === "writing" ? `${name} ${sizeText(taken)}` : `${name} ${state}`;
    return state === "writing" ? text : state === "stored" ? style.good(text) : style.bad(text);
  });
  const parts = [
    style.bold(visible(title)),
    `${sizeText(bytes)}${share}`,
    // The first bytes arrive at once, so the rate would be far too high.
    elapsedMs < TERMINAL_INTERVAL_MS ? "-" : rateText(bytes, elapsedMs),
    durationText(elapsedMs),
    ...states,
  ];
  return parts.join("  ");
}

/** Cuts a line to `columnsMax` columns without cutting an escape sequence. */
function truncated(line: string, columnsMax: number): string {
  if (Bun.stringWidth(line) <= columnsMax) return line;
  return `${Bun.sliceAnsi(line, 0, Math.max(0, columnsMax - 1))}…`;
}
