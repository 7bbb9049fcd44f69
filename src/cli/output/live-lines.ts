/**
 * Lines at the end of a terminal's output that are redrawn in place. Everything else that goes to this
 * terminal meanwhile (log, notes) must go through `write`, or the next redrawing would take it away.
 */
export class LiveLines {
  readonly #write: (text: string) => void;
  #lines: readonly string[] = [];

  constructor(write: (text: string) => void) {
    this.#write = write;
  }

  /** Replaces the lines; none takes them away. One that is wider than the terminal could not be redrawn. */
  draw(lines: readonly string[]): void {
    if (lines.length + this.#lines.length === 0) return;
    const erase = this.#erase();
    this.#lines = lines;
    this.#write(erase + this.#text());
  }

  /** Writes whole lines above. */
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
