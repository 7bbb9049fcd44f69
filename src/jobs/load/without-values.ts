import { OF_FUNCTION } from "../../postgres/message-kind.ts";
import { isOfFunction, type RestoreFault } from "./faults.ts";

/** Before a quoted name; any other quoted text may be a value. */
const BEFORE_NAME =
  /(?:aggregate|collation|column|constraint|database|domain|encoding|extension|function|index|language|operator|parameter|policy|publication|relation|role|rule|schema|sequence|server|table|tablespace|trigger|type|view|wrapper) $/;

/** An error of pg_restore as it may leave this host, in mail and chats: without values of rows. */
export function withoutValues(fault: RestoreFault): RestoreFault {
  const { message, detail, context } = fault;
  const shown = { ...fault, context: context === null ? null : withoutQuoted(context) };
  if (isOfFunction(context)) return { ...shown, message: OF_FUNCTION, detail: null, hint: null };
  return {
    ...shown,
    message: withoutQuoted(message),
    detail: detail === null ? null : withoutQuoted(withoutKeys(detail)),
  };
}

/** `Key (a)=(1) already exists.`, `Failing row contains (1, x).` */
function withoutKeys(detail: string): string {
  return detail.replace(/(contains |= ?)\(.*\)/s, "$1(…)");
}

/** Quoted texts that are no names. What follows `: "` is a value to the end, which may contain quotes itself. */
function withoutQuoted(text: string): string {
  let shown = "";
  let rest = text;
  for (;;) {
    const at = rest.indexOf('"');
    if (at < 0) return shown + rest;
    shown += rest.slice(0, at);
    if (/: $/.test(shown)) return `${shown}"…"`;
    const end = rest.indexOf('"', at + 1);
    if (end < 0) return `${shown}"…"`;
    shown += BEFORE_NAME.test(shown) ? rest.slice(at, end + 1) : '"…"';
    rest = rest.slice(end + 1);
  }
}
