import type { ObjectNumbers } from "../../postgres/counts/facts.ts";
import type { RestoreFault } from "../load/faults.ts";

/** What may be missing because the config allows the errors that prevented it. */
export interface Tolerated {
  /** Tables without their rows, as `schema.name`. */
  tables: ReadonlySet<string>;
  numbers: Partial<Record<keyof ObjectNumbers, number>>;
}

const KINDS: Readonly<Record<string, keyof ObjectNumbers>> = {
  TABLE: "tables",
  "FOREIGN TABLE": "tables",
  INDEX: "indexes",
  CONSTRAINT: "constraints",
  "FK CONSTRAINT": "constraints",
  "CHECK CONSTRAINT": "constraints",
  FUNCTION: "functions",
  PROCEDURE: "functions",
  AGGREGATE: "functions",
  TRIGGER: "triggers",
  EXTENSION: "extensions",
  SEQUENCE: "sequences",
  VIEW: "views",
  "MATERIALIZED VIEW": "views",
  BLOB: "large_objects",
};

export function toleratedBy(allowed: readonly RestoreFault[]): Tolerated {
  const tables = new Set<string>();
  const numbers: Partial<Record<keyof ObjectNumbers, number>> = {};
  for (const { entry } of allowed) {
    const [, kind = "", name = ""] = /^([A-Z ]+?) (\S.*)$/s.exec(entry ?? "") ?? [];
    if (kind === "TABLE" || kind === "TABLE DATA") tables.add(name);
    const number = KINDS[kind];
    if (number !== undefined) numbers[number] = (numbers[number] ?? 0) + 1;
  }
  return { tables, numbers };
}
