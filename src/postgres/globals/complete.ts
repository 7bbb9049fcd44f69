/** The last comment that pg_dumpall writes. */
const LAST_LINE = "-- PostgreSQL database cluster dump complete";
/** Enough for the comment, the lines around it and a `\unrestrict` line. */
const TAIL_BYTES = 4096;

/** Sees the bytes of a dump of globals pass, and knows at the end whether pg_dumpall wrote all of it. */
export class CompletionCheck {
  #tail = Buffer.alloc(0);

  pass(bytes: Uint8Array): void {
    const all = bytes.length >= TAIL_BYTES ? Buffer.from(bytes) : Buffer.concat([this.#tail, bytes]);
    this.#tail = Buffer.from(all.subarray(-TAIL_BYTES));
  }

  /** Only comments, blank lines and psql's commands may follow the last line. */
  get isComplete(): boolean {
    const lines = this.#tail.toString().split("\n");
    const last = lines.lastIndexOf(LAST_LINE);
    return last >= 0 && lines.slice(last + 1).every((line) => /^(--.*|\\\w+( .*)?|\s*)$/.test(line));
  }
}
