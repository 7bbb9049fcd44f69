import { stripVTControlCharacters } from "node:util";
import type { Style } from "../../src/cli/output/output.ts";

/** Something in the demo went wrong: printed without a stack trace. */
export class DemoError extends Error {}

/** The width of the demo's text. Commands print in their own width. */
const TEXT_COLUMNS = 80;

/** Prints the demo's text. Every promise resolves when the text is written, so that the output of commands follows it. */
export class Narrator {
  readonly style: Style;
  #scenes = 0;

  constructor(style: Style) {
    this.style = style;
    // The callback of a write gets its error.
    process.stdout.on("error", () => {});
  }

  /** Begins a scene: its title, and why it matters. */
  async scene(title: string, why: string): Promise<void> {
    this.#scenes++;
    const rule = "─".repeat(Math.max(3, TEXT_COLUMNS - title.length - `${this.#scenes}`.length - 3));
    await this.say(
      "",
      this.style.bold(`${this.#scenes}  ${title} ${rule}`),
      ...wrapped(why).map(this.style.dim),
      "",
    );
  }

  /** Prints a command as it is typed; its further lines keep their indentation. */
  command(text: string): Promise<void> {
    const [first = "", ...rest] = text.split("\n");
    return this.say(`${this.style.good("$")} ${this.style.bold(first)}`, ...rest.map(this.style.bold));
  }

  async say(...lines: string[]): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      process.stdout.write(`${lines.join("\n")}\n`, (error) =>
        error ? reject(new DemoError(`stdout cannot be written: ${error.message}`)) : resolve(),
      );
    });
  }

  /** Prints facts in two columns. */
  facts(rows: readonly (readonly [string, string])[]): Promise<void> {
    const widest = Math.max(...rows.map(([name]) => stripVTControlCharacters(name).length));
    return this.say(...rows.map(([name, value]) => `  ${name.padEnd(widest)}   ${value}`));
  }
}

function wrapped(text: string): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && line.length + 1 + word.length > TEXT_COLUMNS) {
      lines.push(line);
      line = word;
    } else line = line === "" ? word : `${line} ${word}`;
  }
  return [...lines, line];
}
