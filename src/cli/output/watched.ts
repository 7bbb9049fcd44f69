import type { Clock } from "../../base/clock.ts";
import { EXIT_CODES, exitCodeOf, messageOf } from "../../base/errors.ts";
import { visibleLines } from "../../base/text/visible.ts";

/** A terminal that can be drawn anew. */
export interface Screen {
  write(text: string): void;
  /** As it is now: people resize windows. */
  size(): { columns: number; rows: number };
}

/** The second screen of the terminal, and no cursor: https://invisible-island.net/xterm/ctlseqs/ctlseqs.html */
const ENTER = "\u001b[?1049h\u001b[?25l";
const LEAVE = "\u001b[?25h\u001b[?1049l";

export interface WatchOptions {
  screen: Screen;
  /** Above each frame. */
  title: string;
  intervalMs: number;
  clock: Clock;
  signal: AbortSignal;
}

/**
 * Draws a frame again and again until a signal ends it; then the terminal is as it was before. Resolves for Ctrl-C, which is
 * how a person leaves, and rejects for any other signal. If a later frame rejects, its error is shown instead; if the
 * first one does, this rejects.
 */
export async function watched(
  { screen, title, intervalMs, clock, signal }: WatchOptions,
  frame: (columns: number) => Promise<string>,
): Promise<void> {
  const first = await frame(screen.size().columns);
  screen.write(ENTER);
  try {
    for (let text = first; ; text = await frame(screen.size().columns).catch(errorText)) {
      signal.throwIfAborted();
      screen.write(drawn(`${title}\n\n${text}`, screen.size()));
      await clock.sleep(intervalMs, signal);
    }
  } catch (error) {
    if (!signal.aborted || exitCodeOf(signal.reason) !== EXIT_CODES.interrupted) throw error;
  } finally {
    screen.write(LEAVE);
  }
}

function errorText(error: unknown): string {
  return visibleLines(`error: ${messageOf(error)}`);
}

/** The text over what was there, with what fits: a longer line would wrap, and a longer text scroll. */
function drawn(text: string, { columns, rows }: { columns: number; rows: number }): string {
  const all = text.split("\n").map((line) => (Bun.stringWidth(line) <= columns ? line : cut(line, columns)));
  const lines =
    all.length <= rows ? all : [...all.slice(0, rows - 1), `… ${all.length - rows + 1} more lines`];
  return `\u001b[H${lines.map((line) => `${line}\u001b[K`).join("\r\n")}\u001b[J`;
}

function cut(line: string, columns: number): string {
  return `${Bun.sliceAnsi(line, 0, Math.max(0, columns - 1))}…`;
}
