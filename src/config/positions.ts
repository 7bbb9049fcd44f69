import { type KeyPath, pathText } from "./problems.ts";

/** Finds the line (1-based) of a key path; if the path is not in the file, the line of the nearest table around it. */
export type LineFinder = (path: KeyPath) => number | undefined;

/**
 * The parser does not report the positions of keys, so this scans the text again. It relies on the text being valid
 * TOML: it only follows the structure (headers, keys, strings, arrays, inline tables).
 */
export function findLines(toml: string): LineFinder {
  const lines = new PositionScanner(toml).scan();
  return (path) => {
    for (let length = path.length; length > 0; length--) {
      const line = lines.get(pathText(path.slice(0, length)));
      if (line !== undefined) return line;
    }
    return undefined;
  };
}

class PositionScanner {
  readonly #text: string;
  readonly #lines = new Map<string, number>();
  /** The number of `[[tables]]` of each path so far. */
  readonly #arrayLengths = new Map<string, number>();
  #at = 0;
  #line = 1;

  constructor(text: string) {
    this.#text = text;
  }

  scan(): Map<string, number> {
    let table: KeyPath = [];
    for (this.#skipBlank(); this.#at < this.#text.length; this.#skipBlank()) {
      if (this.#peek("[")) table = this.#header();
      else this.#keyValue(table);
    }
    return this.#lines;
  }

  #header(): KeyPath {
    const isArray = this.#peek("[[");
    this.#advance(isArray ? 2 : 1);
    const key = this.#key();
    const path: (string | number)[] = [];
    for (const [depth, name] of key.entries()) {
      path.push(name);
      const text = pathText(path);
      let length = this.#arrayLengths.get(text);
      if (isArray && depth === key.length - 1) {
        this.#note(path);
        length = (length ?? 0) + 1;
        this.#arrayLengths.set(text, length);
      }
      if (length !== undefined) path.push(length - 1);
      this.#note(path);
    }
    this.#advance(isArray ? 2 : 1);
    return path;
  }

  #keyValue(table: KeyPath): void {
    const path = [...table];
    for (const name of this.#key()) {
      path.push(name);
      this.#note(path);
    }
    this.#advance(1); // the equals sign
    this.#skipBlank();
    this.#value(path);
  }

  /** Reads a dotted key; leaves the cursor on the character that ends it. */
  #key(): string[] {
    const names: string[] = [];
    for (;;) {
      this.#skipBlank();
      names.push(this.#peek('"') || this.#peek("'") ? this.#string() : this.#take(/[^\s.=\]"']*/y));
      this.#skipBlank();
      if (!this.#peek(".")) return names;
      this.#advance(1);
    }
  }

  #value(path: KeyPath): void {
    if (this.#peek("[")) this.#members("]", (index) => this.#element([...path, index]));
    else if (this.#peek("{")) this.#members("}", () => this.#keyValue(path));
    else if (this.#peek('"') || this.#peek("'")) this.#string();
    else this.#take(/[^,\]}#\n]*/y);
  }

  #element(path: KeyPath): void {
    this.#note(path);
    this.#value(path);
  }

  #members(end: string, member: (index: number) => void): void {
    this.#advance(1);
    this.#skipBlank();
    for (let index = 0; this.#at < this.#text.length && !this.#peek(end); index++) {
      member(index);
      this.#skipBlank();
      if (!this.#peek(",")) break;
      this.#advance(1);
      this.#skipBlank();
    }
    this.#advance(1);
  }

  /** Reads a quoted string of any of the four kinds; returns a key unescaped. */
  #string(): string {
    const quote = this.#text.charAt(this.#at);
    if (this.#peek(quote.repeat(3))) {
      return this.#take(quote === '"' ? /"""(?:\\.|[^\\])*?"{3,5}(?!")/sy : /'''.*?'{3,5}(?!')/sy);
    }
    const text = this.#take(quote === '"' ? /"(?:\\.|[^"\\])*"/y : /'[^']*'/y);
    return quote === '"' ? unescapeKey(text) : text.slice(1, -1);
  }

  /** Skips white space, line ends and comments. */
  #skipBlank(): void {
    this.#take(/(?:[\s\uFEFF]|#[^\n]*)*/y);
  }

  #take(pattern: RegExp): string {
    pattern.lastIndex = this.#at;
    const text = pattern.exec(this.#text)?.[0] ?? "";
    this.#advance(text.length);
    return text;
  }

  #advance(length: number): void {
    for (const sign of this.#text.slice(this.#at, this.#at + length)) if (sign === "\n") this.#line++;
    this.#at += length;
  }

  #peek(text: string): boolean {
    return this.#text.startsWith(text, this.#at);
  }

  #note(path: KeyPath): void {
    const text = pathText(path);
    if (!this.#lines.has(text)) this.#lines.set(text, this.#line);
  }
}

function unescapeKey(quoted: string): string {
  try {
    return JSON.parse(quoted) as string;
  } catch {
    // TOML's \e, \xHH and \UHHHHHHHH are not JSON: the line of the table around the key is used.
    return quoted;
  }
}
