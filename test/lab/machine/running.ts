import { readdirSync, readFileSync } from "node:fs";
import type { Subprocess } from "bun";
import { systemClock } from "../../../src/base/clock.ts";
import type { Ended } from "../installation.ts";

const POLL_MS = 5;

/** A running program, whose output can be read while it runs. */
export interface Running {
  readonly pid: number;
  /** Everything that it has written to stderr so far. */
  stderr(): string;
  /** Resolves when its stderr contains the text; rejects if it ends without. */
  says(text: string): Promise<void>;
  /** Resolves when the condition is true; rejects with its stderr if it ends before. */
  until(what: string, condition: () => boolean | Promise<boolean>): Promise<void>;
  kill(signal: NodeJS.Signals): void;
  readonly ended: Promise<Ended>;
}

export function watched(child: Subprocess<"ignore", "pipe", "pipe">): Running {
  let stderr = "";
  const reading = (async () => {
    const decoder = new TextDecoder();
    for await (const chunk of child.stderr) stderr += decoder.decode(chunk, { stream: true });
  })();
  const ended = (async (): Promise<Ended> => {
    const [stdout, exitCode] = await Promise.all([new Response(child.stdout).text(), child.exited, reading]);
    return { exitCode, stdout, stderr, json: stdout.startsWith("{") ? JSON.parse(stdout) : undefined };
  })();
  const running: Running = {
    pid: child.pid,
    stderr: () => stderr,
    says: (text) => running.until(`it says "${text}"`, () => stderr.includes(text)),
    async until(what, condition) {
      while (!(await condition())) {
        if (child.exitCode !== null || child.signalCode !== null) {
          const { exitCode, stdout } = await ended;
          if (await condition()) return;
          throw new Error(`ended with ${exitCode} before ${what}:\n${stdout}${stderr}`);
        }
        await systemClock.sleep(POLL_MS);
      }
    },
    kill: (signal) => child.kill(signal),
    ended,
  };
  return running;
}

/** Waits until a condition is true; otherwise the test times out. */
export async function eventually(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await systemClock.sleep(POLL_MS);
}

/** All descendants of a process. */
export function descendants(pid: number): number[] {
  const parents = new Map<number, number>();
  for (const entry of readdirSync("/proc")) {
    if (/^\d+$/.test(entry)) parents.set(Number(entry), parentOf(Number(entry)));
  }
  const under = (child: number): boolean => {
    const parent = parents.get(child);
    return parent !== undefined && (parent === pid || (parent > 1 && under(parent)));
  };
  return [...parents.keys()].filter(under);
}

function parentOf(pid: number): number {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]);
  } catch {
    return 0;
  }
}

/** The arguments and environment of a process, as other processes may read them; empty if the process has ended. */
export function startedWith(pid: number): { cmdline: string; environ: string } {
  const read = (file: string) => {
    try {
      return readFileSync(`/proc/${pid}/${file}`, "latin1").replaceAll("\0", "\n");
    } catch {
      return "";
    }
  };
  return { cmdline: read("cmdline"), environ: read("environ") };
}

/** The running pg_dump of a pg321 process, if there is one. */
export function pgDumpOf(pid: number): number | undefined {
  return descendants(pid).find((child) => /^[^\n]*\bpg_dump\n/.test(startedWith(child).cmdline));
}
