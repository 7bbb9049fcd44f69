const SETVAL = /^SELECT pg_catalog\.setval\(('(?:[^']|'')+'), (-?\d+), (true|false)\);\s*$/s;

/** The position that this statement of pg_dump gives a sequence; undefined if it is another statement. */
export function positionOf(definition: string): { value: string; isCalled: boolean } | undefined {
  const [, , value, isCalled] = SETVAL.exec(definition) ?? [];
  return value === undefined ? undefined : { value, isCalled: isCalled === "true" };
}

/**
 * The same statement so that it does nothing if the sequence is further by then: others may use it, and triggers may
 * advance it, while the rows are loaded. Undefined if it is another statement.
 */
export function onlyForward(definition: string): string | undefined {
  const [, name, value, isCalled] = SETVAL.exec(definition) ?? [];
  if (name === undefined || value === undefined) return undefined;
  // A position that was not used yet counts as further back than the same one after its use.
  const [more, less] = isCalled === "true" ? [">", "<"] : [">=", "<="];
  return `SELECT pg_catalog.setval(${name}, ${value}, ${isCalled}) FROM pg_catalog.pg_sequence s
WHERE s.seqrelid = ${name}::pg_catalog.regclass AND (CASE
  WHEN NOT pg_catalog.has_sequence_privilege(s.seqrelid, 'USAGE, SELECT') THEN false
  WHEN s.seqincrement > 0 THEN pg_catalog.pg_sequence_last_value(s.seqrelid) ${more} ${value}
  ELSE pg_catalog.pg_sequence_last_value(s.seqrelid) ${less} ${value} END) IS NOT TRUE;
`;
}
