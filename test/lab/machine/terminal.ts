import { tmpdir } from "node:os";
import type { Subprocess } from "bun";
import { programWords } from "../installation.ts";

/** A program that runs on a terminal, and everything that was written to that terminal. */
export interface OnTerminal {
  /** Everything so far, escape sequences and all. */
  written(): string;
  /** Resolves when the terminal has received a match; rejects if the program ends without. */
  shows(pattern: RegExp): Promise<void>;
  /** Types text on the terminal. */
  type(text: string): void;
  readonly ended: Promise<{ exitCode: number; written: string }>;
}

/** Starts pg321 on a pseudo-terminal of 100 columns, made by `script` of util-linux. */
export function onTerminal(words: readonly string[], env: Record<string, string> = {}): OnTerminal {
  return programOnTerminal([...programWords(), ...words], env);
}

/** As `onTerminal`, with any program. */
export function programOnTerminal(argv: readonly string[], env: Record<string, string> = {}): OnTerminal {
  const command = argv.map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(" ");
  const child = Bun.spawn(["script", "-qefc", `stty cols 100; exec ${command}`, "/dev/null"], {
    env: { PATH: process.env["PATH"] ?? "", HOME: tmpdir(), TMPDIR: tmpdir(), TERM: "xterm", ...env },
    stdio: ["pipe", "pipe", "inherit"],
  });
  return watchedTerminal(child);
}

function watchedTerminal(child: Subprocess<"pipe", "pipe", "inherit">): OnTerminal {
  let written = "";
  let isOver = false;
  let wake = () => {};
  const reading = (async () => {
    const decoder = new TextDecoder();
    for await (const chunk of child.stdout) {
      written += decoder.decode(chunk, { stream: true });
      wake();
    }
    isOver = true;
    wake();
  })();
  return {
    written: () => written,
    async shows(pattern) {
      while (!pattern.test(written)) {
        if (isOver) throw new Error(`ended before it showed ${pattern}:\n${written}`);
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    },
    type(text) {
      child.stdin.write(text);
      child.stdin.flush();
    },
    ended: (async () => {
      await reading;
      return { exitCode: await child.exited, written };
    })(),
  };
}

/** The lines that a person sees in the end: with cursor movements applied, without colours. */
export function screenOf(written: string): string[] {
  let lines = [""];
  const tokens = written.replaceAll("\r", "").match(/\u001b\[[\d;]*[A-Za-z]|\n|[^\n\u001b]+|\u001b/g) ?? [];
  for (const token of tokens) {
    const up = /^\u001b\[(\d+)A$/.exec(token)?.[1];
    if (up !== undefined) lines = [...lines.slice(0, lines.length - 1 - Number(up)), ""];
    else if (token === "\n") lines.push("");
    else if (!token.startsWith("\u001b")) lines[lines.length - 1] += token;
  }
  return lines.slice(0, -1);
}
