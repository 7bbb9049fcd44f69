import type { Clock } from "../base/clock.ts";
import type { Log } from "../base/log.ts";
import type { JobProgress, ProgressListener } from "../jobs/progress.ts";
import type { Style } from "./output.ts";
import { durationText, rateText, sizeText } from "./output.ts";

const TERMINAL_INTERVAL_MS = 200;
const LOG_INTERVAL_MS = 30_000;

export interface TerminalOptions {
  write: (text: string) => void;
  columns: () => number;
  style: Style;
  clock: Clock;
}

/** One line for each piece of work under way, redrawn in place. */
export function terminalProgress({
  write,
  columns,
  style,
  clock,
}: TerminalOptions): ProgressListener & { clear(): void } {
  const underWay = new Map<string, { startedAtMs: number; progress: JobProgress }>();
  let drawnLines = 0;
  let drawnAtMs = Number.NEGATIVE_INFINITY;
  const clear = () => {
    if (drawnLines > 0) write(`\u001b[${drawnLines}A\u001b[J`);
    drawnLines = 0;
  };
  const draw = () => {
    const lines = [...underWay.values()].map(({ startedAtMs, progress }) =>
      lineOf(progress, clock.monotonicMs() - startedAtMs, style),
    );
    clear();
    // A line that wraps could not be redrawn in place.
    for (const line of lines) write(`${truncated(line, columns() - 1)}\n`);
    drawnLines = lines.length;
  };
  return {
    update(progress) {
      const now = clock.monotonicMs();
      const startedAtMs = underWay.get(progress.title)?.startedAtMs ?? now;
      underWay.set(progress.title, { startedAtMs, progress });
      if (now - drawnAtMs < TERMINAL_INTERVAL_MS) return;
      drawnAtMs = now;
      draw();
    },
    end(title) {
      underWay.delete(title);
      draw();
    },
    clear,
  };
}

/** A log line every 30 s for each piece of work, where nobody watches a terminal. */
export function logProgress(log: Log, clock: Clock): ProgressListener {
  const underWay = new Map<string, { startedAtMs: number; toldAtMs: number }>();
  return {
    update({ title, bytes, expectedBytes, storages }) {
      const now = clock.monotonicMs();
      const entry = underWay.get(title) ?? { startedAtMs: now, toldAtMs: now };
      underWay.set(title, entry);
      if (now - entry.toldAtMs < LOG_INTERVAL_MS) return;
      entry.toldAtMs = now;
      log.info("progress", {
        work: title,
        bytes,
        expected_bytes: expectedBytes,
        elapsed_ms: Math.round(now - entry.startedAtMs),
        storages:
          [...storages].map(([name, { bytes: taken, state }]) => `${name}:${state}:${taken}`).join(" ") ||
          undefined,
      });
    },
    end(title) {
      underWay.delete(title);
    },
  };
}

function lineOf(
  { title, bytes, expectedBytes, storages }: JobProgress,
  elapsedMs: number,
  style: Style,
): string {
  // The size on the server's disk is an estimate; more than all of it would only confuse.
  const share = expectedBytes
    ? ` ${Math.min(99, Math.floor((bytes / expectedBytes) * 100))}% of ~${sizeText(expectedBytes)}`
    : "";
  const states = [...storages].map(([name, { bytes: taken, state }]) => {
    const text = state === "writing" ? `${name} ${sizeText(taken)}` : `${name} ${state}`;
    return state === "writing" ? text : state === "stored" ? style.good(text) : style.bad(text);
  });
  const parts = [
    style.bold(title),
    `${sizeText(bytes)}${share}`,
    rateText(bytes, elapsedMs),
    durationText(elapsedMs),
    ...states,
  ];
  return parts.join("  ");
}

/** Cuts a line to so many columns, without cutting a colour's sequence. */
function truncated(line: string, columnsMax: number): string {
  if (Bun.stringWidth(line) <= columnsMax) return line;
  return `${Bun.sliceAnsi(line, 0, Math.max(0, columnsMax - 1))}…`;
}
