/**
 * Lines at the end of a terminal's output that are redrawn in place. All other output to this terminal (log, notes)
 * must go through `write`, or the next redraw would erase it.
 */
export class LiveLines {
  readonly #write: (text: string) => void;
  #lines: readonly string[] = [];

  constructor(write: (text: string) => void) {
    this.#write = write;
  }

  /** Replaces the lines; an empty list removes them. A line must not be wider than the terminal. */
  draw(lines: readonly string[]): void {
    if (lines.length + this.#lines.length === 0) return;
    const erase = this.#erase();
    this.#lines = lines;
    this.#write(erase + this.#text());
  }

  /** Writes whole lines above the redrawn ones. */
  write(text: string): void {
    this.#write(this.#erase() + text + this.#text());
  }

  #erase(): string {
    return this.#lines.length === 0 ? "" : `\u001b[${this.#lines.length}A\u001b[J`;
  }

  #text(): string {
    return this.#lines.map((line) => `${line}\n`).join("");
  }
}
