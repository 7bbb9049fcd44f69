/** The words of a command line in bash up to the cursor, without the command itself. */
export interface BashLine {
  before: string[];
  /** The word at the cursor, without its quotes. */
  current: string;
  /** The quote that is open at the cursor. */
  quote: "" | '"' | "'";
  /** The length of the beginning of `current` that bash does not replace. */
  kept: number;
  /** The word holds a variable or the like, which only the shell can resolve, or is the target of a redirection. */
  isForShell: boolean;
}

interface Word {
  value: string;
  quote: BashLine["quote"];
  /** Up to the last sign that breaks words, or to the open quote. */
  kept: number;
  isForShell: boolean;
}

const newWord = (): Word => ({ value: "", quote: "", kept: 0, isForShell: false });

/**
 * Reads a line as bash does, without running anything in it. `breaks` is `COMP_WORDBREAKS`. bash replaces only the
 * end of a word: in `main:a`, the colon and all before it stay (readline, `_rl_find_completion_word`).
 */
export function readBashLine(line: string, breaks: string): BashLine {
  const words: Word[] = [];
  let word: Word | undefined;
  let isTarget = false;
  const end = () => {
    if (word !== undefined && !isTarget) words.push(word);
    if (word !== undefined) isTarget = false;
    word = undefined;
  };
  for (let index = 0; index < line.length; index++) {
    const sign = line[index] ?? "";
    if (word?.quote !== undefined && word.quote !== "") {
      index += inQuote(word, line, index);
      continue;
    }
    if (/\s/.test(sign)) end();
    else if (/[<>]/.test(sign)) {
      if (word !== undefined && /^\d+$/.test(word.value)) word = undefined;
      end();
      isTarget = true;
    } else {
      word ??= newWord();
      index += outsideQuotes(word, line, index, breaks);
    }
  }
  const current = word ?? newWord();
  const before = words.slice(1).map(({ value }) => value);
  return {
    before,
    current: current.value,
    quote: current.quote,
    kept: current.kept,
    isForShell: current.isForShell || isTarget,
  };
}

/** Reads one sign inside quotes; returns how many more were read. */
function inQuote(word: Word, line: string, index: number): number {
  const sign = line[index] ?? "";
  const next = line[index + 1];
  if (sign === word.quote) word.quote = "";
  else if (word.quote === '"' && sign === "\\" && next !== undefined && /["\\$`]/.test(next)) {
    word.value += next;
    return 1;
  } else {
    if (word.quote === '"' && /[$`]/.test(sign)) word.isForShell = true;
    word.value += sign;
  }
  return 0;
}

function outsideQuotes(word: Word, line: string, index: number, breaks: string): number {
  const sign = line[index] ?? "";
  if (sign === "'" || sign === '"') {
    word.quote = sign;
    word.kept = isClosedAfter(line, index, sign) ? word.kept : word.value.length;
  } else if (sign === "\\") {
    word.value += line[index + 1] ?? "";
    return 1;
  } else {
    if (/[$`]/.test(sign)) word.isForShell = true;
    word.value += sign;
    // readline takes what follows an at sign for a host name, and replaces the sign as well.
    if (breaks.includes(sign)) word.kept = word.value.length - (sign === "@" ? 1 : 0);
  }
  return 0;
}

/** Whether the quote at an index ends before the cursor. */
function isClosedAfter(line: string, at: number, quote: string): boolean {
  for (let index = at + 1; index < line.length; index++) {
    if (quote === '"' && line[index] === "\\") index++;
    else if (line[index] === quote) return true;
  }
  return false;
}

/**
 * The texts that bash puts in the place of the end of the word. It puts their common beginning on the line; if that
 * would end in a backslash, they are quoted otherwise.
 */
export function bashReplies({ quote, kept }: BashLine, values: readonly string[]): string[] {
  const ends = values.map((value) => value.slice(kept));
  const replies = ends.map((end) => quoted(end, quote));
  const isCut = replies.length > 1 && /(^|[^\\])(\\\\)*\\$/.test(commonStart(replies));
  return isCut && quote === "" ? ends.map((end) => `'${quoted(end, "'")}'`) : replies;
}

/** A text as the end of a word, in which nothing can run; readline closes the quote that is open. */
function quoted(text: string, quote: BashLine["quote"]): string {
  if (quote === "'") return text.replaceAll("'", "'\\''");
  // Inside double quotes no backslash takes its meaning from an exclamation mark, which recalls an earlier command.
  if (quote === '"') return text.replace(/["\\$`]/g, "\\$&").replaceAll("!", `"'!'"`);
  return text.replace(/[^\p{L}\p{N}\p{M}_%+=:,./-]/gu, "\\$&");
}

function commonStart([first = "", ...others]: readonly string[]): string {
  let length = first.length;
  for (const other of others) while (!other.startsWith(first.slice(0, length))) length--;
  return first.slice(0, length);
}
