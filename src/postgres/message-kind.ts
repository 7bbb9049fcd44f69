/** Before a quoted name; any other quoted text may be a value. */
const BEFORE_NAME =
  /\b(aggregate|collation|column|constraint|domain|extension|function|index|language|operator|policy|publication|relation|role|rule|schema|sequence|server|table|tablespace|trigger|type|view) $/;
const NAME = /^"[\w.$]+"/;
const QUOTED = /^"[^"]+"/;
const QUOTE = /["'`«»“”„‘’‚‹›]/;
const OF_COPY = /^COPY failed for table "[^"]*": (ERROR: +)?/;
/** Instead of the words that a function chose for its error: they may be anything. */
export const OF_FUNCTION = "an error in a function";
/** SQLSTATE classes of errors about data: their messages and details quote rows, or are words of a function. */
const OF_DATA = /^(22|23|44|P0)/;

/**
 * A message of PostgreSQL as far as that certainly has no value of a row: its first line up to the first quoted text that
 * is not a name. Rows may hold personal data, and messages leave this host in alerts and on the status page. `about` is
 * the object that the message is about: its name may be quoted anywhere.
 */
export function messageKind(message: string, about = ""): string {
  let rest = (message.split("\n")[0] ?? "").replace(OF_COPY, "");
  let kind = "";
  for (;;) {
    const at = rest.search(QUOTE);
    if (at < 0) return kind + rest;
    kind += rest.slice(0, at);
    const quoted = rest.slice(at);
    const own = QUOTED.exec(quoted)?.[0];
    const isOwn =
      own !== undefined && /[. ]$/.test(about.slice(0, -own.length + 2)) && about.endsWith(own.slice(1, -1));
    const name = isOwn ? own : BEFORE_NAME.test(kind) ? NAME.exec(quoted)?.[0] : undefined;
    if (name === undefined) return `${kind}…`;
    kind += name;
    rest = rest.slice(at + name.length);
  }
}

/** Whether errors of this SQLSTATE may quote rows. */
export function isOfData(sqlState: string): boolean {
  return OF_DATA.test(sqlState);
}
