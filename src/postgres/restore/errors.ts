import { shownStatement } from "./shown-statement.ts";

/** One error of pg_restore. */
export interface RestoreError {
  /** The number of the archive's entry; undefined if it belongs to none, or pg_restore does not say. */
  entry: number | undefined;
  /** In the words of PostgreSQL or pg_restore, without the prefixes. */
  message: string;
  detail: string | undefined;
  hint: string | undefined;
  context: string | undefined;
  /** The statement as `shownStatement` gives it, without literals. */
  statement: string | undefined;
}

/** Characters kept of each text of an error. */
const TEXT_LENGTH_MAX = 2_000;

/** The name comes twice if two sessions wrote at once. */
const PROGRAM = /^(?:pg_restore: )+(.*)$/;
const MARGIN = /^(DETAIL|HINT|CONTEXT): +(.*)$/;
/** Below a syntax error the server shows a part of the statement, and the query of a function. */
const EXCERPT = /^(LINE \d+: |QUERY: )/;
/** The last part of an error; its lines may look like anything. */
const STATEMENT = /^Command was: (.*)$/;

/**
 * Finds the errors in the stderr of `pg_restore --verbose`, line by line, and passes each on when it is complete.
 * With several sessions, lines may be mixed up, and errors assigned to the wrong entry.
 */
export class RestoreErrors {
  /** Number of errors; undefined until pg_restore reports at its end that it ignored some. */
  ignored: number | undefined;
  readonly #onError: (error: RestoreError) => void;
  readonly #decoder = new TextDecoder();
  #rest = "";
  #found = 0;
  #entry: number | undefined;
  #error: RestoreError | undefined;
  #part: "message" | "detail" | "hint" | "context" | "statement" | undefined;

  constructor(onError: (error: RestoreError) => void) {
    this.#onError = onError;
  }

  push(bytes: Uint8Array): void {
    const lines = (this.#rest + this.#decoder.decode(bytes, { stream: true })).split("\n");
    this.#rest = lines.pop() ?? "";
    for (const line of lines) this.#line(line);
  }

  /** Call at the end of the output. */
  end(): void {
    if (this.#rest !== "") this.#line(this.#rest);
    this.#rest = "";
    this.#flush();
  }

  #line(line: string): void {
    const own = PROGRAM.exec(line)?.[1];
    const [, label, text] = MARGIN.exec(line) ?? [];
    if (own !== undefined) this.#ownLine(own);
    else if (!this.#error) return;
    else if (this.#part === "statement") this.#append(`\n${line}`);
    else if (STATEMENT.test(line)) {
      this.#part = "statement";
      this.#append(STATEMENT.exec(line)?.[1] ?? "");
    } else if (label !== undefined && text !== undefined) {
      this.#part = label.toLowerCase() as "detail" | "hint" | "context";
      this.#append(text);
    } else if (EXCERPT.test(line)) this.#part = undefined;
    else if (line.trim() !== "") this.#append(`\n${line}`);
  }

  #ownLine(text: string): void {
    this.#flush();
    const entry = /^from TOC entry (\d+);/i.exec(text)?.[1];
    if (entry !== undefined) this.#entry = Number(entry);
    const counted = /errors ignored on restore: (\d+)$/.exec(text)?.[1];
    // With several sessions pg_restore counts more errors than it has printed.
    if (counted !== undefined) this.ignored = this.#found || Number(counted);
    const printed = /^error: (.*)$/.exec(text)?.[1];
    if (printed === undefined) return;
    const message = printed.replace(/^could not execute query: /, "").replace(/ERROR: {2}/, "");
    this.#error = {
      entry: this.#entry,
      message: "",
      detail: undefined,
      hint: undefined,
      context: undefined,
      statement: undefined,
    };
    this.#part = "message";
    this.#append(message);
  }

  #append(text: string): void {
    if (!this.#error || this.#part === undefined) return;
    this.#error[this.#part] = `${this.#error[this.#part] ?? ""}${text}`.slice(0, TEXT_LENGTH_MAX);
  }

  #flush(): void {
    if (this.#error) {
      const { statement } = this.#error;
      this.#found++;
      this.#onError({
        ...this.#error,
        statement: statement === undefined ? undefined : shownStatement(statement),
      });
    }
    this.#error = undefined;
    this.#part = undefined;
  }
}

/** The errors in the end of pg_restore's output. */
export function errorsIn(stderr: string): RestoreError[] {
  const found: RestoreError[] = [];
  const errors = new RestoreErrors((error) => found.push(error));
  errors.push(Buffer.from(stderr));
  errors.end();
  return found;
}
