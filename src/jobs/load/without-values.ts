import { isOfFunction, type RestoreFault, shownMessage } from "./faults.ts";

/** The parts of details that have no value of a row; `(…)` stands for the values. PostgreSQL has more kinds of details. */
const DETAILS = [
  /^Key \(.+?\)=(?=\()/,
  /^Failing row contains (?=\()/,
  /^Partition key of the failing row contains (?=\()/,
];
/** Lines of a context without a value: names of tables, columns and functions, and numbers of lines. */
const CONTEXTS = [
  /^COPY [\p{L}\p{N}_$.]+, line \d+(?:, column [\p{L}\p{N}_$]+)?(?=$|:)/u,
  /^PL\/\w+ function [\w$.]+(?:\([\w$ ,.[\]]*\))? line \d+ at [\w ]+$/,
];

/**
 * An error of pg_restore as it may leave this host, in mail and chats: without values of rows. Anything may quote a row (a
 * hint of PostGIS, a context of JSON, a message in another language), so only known parts stay.
 */
export function withoutValues(fault: RestoreFault): RestoreFault {
  const { detail, context } = fault;
  return {
    ...fault,
    message: shownMessage(fault),
    detail: detail === null || isOfFunction(fault) ? null : shownDetail(detail),
    hint: null,
    context: context === null ? null : shownContext(context),
  };
}

function shownDetail(detail: string): string | null {
  const shown = DETAILS.flatMap((pattern) => pattern.exec(detail)?.[0] ?? [])[0];
  return shown === undefined ? null : `${shown}(…)`;
}

function shownContext(context: string): string | null {
  const lines = context
    .split("\n")
    .flatMap((line) => CONTEXTS.flatMap((pattern) => pattern.exec(line)?.[0] ?? []));
  return lines.length > 0 ? lines.join("\n") : null;
}
