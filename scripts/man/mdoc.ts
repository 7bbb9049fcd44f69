/** Text for pages in mdoc (mdoc(7)), the language of manual pages of mandoc and groff. */

/** Style of `mandoc -Tlint`. */
const LINE_MAX = 78;

/** Escapes a text, so that none of its signs is a command of roff, and options keep their dashes. */
export function escaped(text: string): string {
  return [...text.replaceAll("\\", "\\e")]
    .map((sign) => ((sign.codePointAt(0) ?? 0) > 126 ? unicode(sign) : sign))
    .join("")
    .replace(/(^|[\s([=,"'|])(--?)(?=[A-Za-z])/g, (_, before, dashes) => before + "\\-".repeat(dashes.length))
    .replaceAll("`", "\\(ga")
    .replaceAll("~", "\\(ti")
    .replaceAll("^", "\\(ha");
}

function unicode(sign: string): string {
  const known: Record<string, string> = { "…": "...", "–": "\\(en", "—": "\\(em", "’": "\\(cq" };
  const code = (sign.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, "0");
  return known[sign] ?? `\\[u${code}]`;
}

/** A paragraph as lines: each sentence begins one, as roff wants it. Code between backticks becomes bold. */
export function prose(text: string): string[] {
  const words = text
    .split(/(`[^`]+`)/)
    .map((part) =>
      /^`.+`$/.test(part) ? `\\fB${escaped(part.slice(1, -1)).replaceAll(" ", "\\ ")}\\fP` : escaped(part),
    )
    .join("")
    .split(/(?<!\\)\s+/)
    .filter((word) => word !== "");
  const lines: string[] = [];
  let line = "";
  for (const word of words) {
    const isSentence = /[.!?][)"']*$/.test(line);
    if (line !== "" && (isSentence || line.length + 1 + word.length > LINE_MAX)) {
      lines.push(line);
      line = "";
    }
    line += line === "" ? word : ` ${word}`;
  }
  return [...lines, line].filter((one) => one !== "").map(notCommand);
}

/** A dot or an apostrophe at the beginning of a line would be a command. */
function notCommand(line: string): string {
  return /^[.']/.test(line) ? `\\&${line}` : line;
}

/** One argument of a macro, in which no word is taken for a macro. */
export function argument(text: string): string {
  return `"${escaped(text).replaceAll('"', '""')}"`;
}

/** Lines that are shown as they are. */
export function literal(text: string): string[] {
  return [".Bd -literal -offset indent", ...text.split("\n").map((line) => notCommand(escaped(line))), ".Ed"];
}

export interface Item {
  /** The line behind `.It`. */
  term: string;
  body: readonly string[];
}

/** A list of terms with their explanations. */
export function taggedList(items: readonly Item[]): string[] {
  if (items.length === 0) return [];
  return [".Bl -tag -width Ds", ...items.flatMap(({ term, body }) => [`.It ${term}`, ...body]), ".El"];
}

export interface PageHead {
  title: string;
  section: number;
  date: Date;
  version: string;
  name: string;
  summary: string;
}

export function pageHead({ title, section, date, version, name, summary }: PageHead): string[] {
  const month = date.toLocaleString("en", { month: "long", timeZone: "UTC" });
  return [
    `.Dd ${month} ${date.getUTCDate()}, ${date.getUTCFullYear()}`,
    `.Dt ${title} ${section}`,
    `.Os pg321 ${version}`,
    ".Sh NAME",
    `.Nm ${name}`,
    `.Nd ${escaped(summary)}`,
  ];
}
