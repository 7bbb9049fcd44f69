import { createInterface } from "node:readline/promises";
import { messageOf, Pg321Error } from "../../base/errors.ts";
import { visible } from "../../base/text/visible.ts";
import type { Invocation } from "../command.ts";
import { isSet } from "../command.ts";
import { askPassphrase } from "../open-context.ts";

/** Asks a person on the terminal; with `--yes` every question answers itself with its default. */
export class Prompts {
  /** Whether a person answers. */
  readonly isAsking: boolean;
  readonly #invocation: Invocation;

  /** Throws code `usage` without `--yes` if there is no terminal to ask on. */
  constructor(invocation: Invocation) {
    this.#invocation = invocation;
    this.isAsking = !isSet(invocation.arguments, "yes");
    if (!this.isAsking || invocation.terminal?.isInteractive) return;
    throw new Pg321Error("usage", "init: there is no terminal to ask questions on", {
      hint: "add --yes, which takes the default of every question that no option answers",
    });
  }

  title(text: string): void {
    this.#invocation.output.print(`\n${this.#invocation.output.style.bold(text)}`);
  }

  say(text: string): void {
    this.#invocation.output.print(`  ${linesShown(text, "  ")}`);
  }

  good(text: string): void {
    const { output } = this.#invocation;
    output.print(`  ${output.style.good("ok")} ${visible(text)}`);
  }

  warn(text: string): void {
    const { output } = this.#invocation;
    output.print(`  ${output.style.warn("note")} ${linesShown(text, "       ")}`);
  }

  bad(text: string): void {
    const { output } = this.#invocation;
    output.print(`  ${output.style.bad("failed")} ${linesShown(text, "         ")}`);
  }

  /** An error, with its hint. */
  failure(error: unknown): void {
    const hint = error instanceof Pg321Error && error.hint !== undefined ? `\n${error.hint}` : "";
    this.bad(`${messageOf(error)}${hint}`);
  }

  /** A text; `byDefault` if the person only presses Enter. Asks again while the answer is empty. */
  async text(question: string, byDefault: string): Promise<string> {
    if (!this.isAsking) return byDefault;
    for (;;) {
      const shown = byDefault === "" ? question : `${question} [${byDefault}]`;
      const answer = (await this.#line(`  ${shown}: `)).trim() || byDefault;
      if (answer !== "") return answer;
    }
  }

  /** One of the choices. */
  async choice(question: string, choices: readonly string[], byDefault: string): Promise<string> {
    for (;;) {
      const answer = await this.text(`${question} (${choices.join(", ")})`, byDefault);
      if (choices.includes(answer)) return answer;
      this.bad(`"${answer}" is none of them`);
    }
  }

  async confirm(question: string, byDefault: boolean): Promise<boolean> {
    if (!this.isAsking) return byDefault;
    for (;;) {
      const answer = (await this.#line(`  ${question} [${byDefault ? "Y/n" : "y/N"}] `)).trim().toLowerCase();
      if (answer === "") return byDefault;
      if (/^(y|yes|n|no)$/.test(answer)) return answer.startsWith("y");
    }
  }

  /** A text that is not shown; empty if the person only presses Enter. */
  async secret(question: string): Promise<string> {
    if (!this.isAsking) return "";
    const answer = await askPassphrase(`  ${question}: `, this.#invocation.signal).catch((error: unknown) => {
      throw error instanceof Pg321Error && error.code === "key" ? inputEnded() : error;
    });
    return answer.trim();
  }

  async #line(question: string): Promise<string> {
    // The terminal itself edits the line, as in a shell's `read`; ^C reaches the process as a signal.
    const lines = createInterface({ input: process.stdin, output: process.stderr, terminal: false });
    try {
      return await new Promise((resolve, reject) => {
        lines.on("close", () => reject(inputEnded()));
        lines.question(question, { signal: this.#invocation.signal }).then(resolve, reject);
      });
    } finally {
      lines.close();
    }
  }
}

/** ^D instead of an answer. */
function inputEnded(): Pg321Error {
  return new Pg321Error("usage", "init: the input ended before the last question");
}

/** Some lines, with no character that would move the cursor, and later ones under the first. */
function linesShown(text: string, margin: string): string {
  return text.split("\n").map(visible).join(`\n${margin}`);
}
