import { quoteLiteral } from "../archive/sql-text.ts";

const SETVAL = /^SELECT pg_catalog\.setval\(('(?:[^']|'')+'), (-?\d+), (true|false)\);\s*$/s;

/** The position that this statement of pg_dump gives a sequence; undefined if it is another statement. */
export function positionOf(definition: string): { value: string; isCalled: boolean } | undefined {
  const [, , value, isCalled] = SETVAL.exec(definition) ?? [];
  return value === undefined ? undefined : { value, isCalled: isCalled === "true" };
}

/**
 * A statement that does the same unless the sequence is further by then: others may use it, and triggers may advance it,
 * while the rows are loaded. A sequence that is unused at its start value is never further. Undefined if it is another
 * statement.
 */
export function onlyForward(definition: string): string | undefined {
  const [, literal, value, isCalled] = SETVAL.exec(definition) ?? [];
  if (literal === undefined || value === undefined) return undefined;
  // pg_dump has quoted the name as an identifier within the literal.
  const name = literal.slice(1, -1).replaceAll("''", "'");
  // pg_sequence_last_value shows no position that was not used yet, as after a restart; the sequence itself does, but
  // to read it needs the right SELECT. A position that was not used yet is further back than the same one after its use.
  return `DO ${quoteLiteral(`DECLARE
  sequence pg_catalog.pg_sequence;
  live_value pg_catalog.int8;
  live_called pg_catalog.bool := true;
BEGIN
  SELECT * INTO STRICT sequence FROM pg_catalog.pg_sequence WHERE seqrelid = ${literal}::pg_catalog.regclass;
  IF pg_catalog.has_sequence_privilege(sequence.seqrelid, 'SELECT') THEN
    SELECT last_value, is_called INTO live_value, live_called FROM ${name};
  ELSIF pg_catalog.has_sequence_privilege(sequence.seqrelid, 'USAGE') THEN
    live_value := pg_catalog.pg_sequence_last_value(sequence.seqrelid);
  END IF;
  IF (CASE
    WHEN NOT live_called AND live_value = sequence.seqstart THEN false
    WHEN live_value = ${value} THEN ${isCalled === "true" ? "false" : "live_called"}
    WHEN sequence.seqincrement > 0 THEN live_value > ${value}
    ELSE live_value < ${value} END) IS NOT TRUE THEN
    PERFORM pg_catalog.setval(${literal}, ${value}, ${isCalled});
  END IF;
END`)};
`;
}
