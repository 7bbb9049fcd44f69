import type { ObjectNumbers } from "../../postgres/counts/facts.ts";
import type { ScratchPlan } from "../../postgres/scratch/prepare.ts";
import type { RestoreFault } from "../load/faults.ts";

/** What may be missing because the config allows the errors that prevented it. */
export interface Tolerated {
  /** Tables without their rows, as `schema.name`. */
  tables: ReadonlySet<string>;
  /** Sequences without their position, as `schema.name`. */
  sequences: ReadonlySet<string>;
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

/** Longest first: `TABLE DATA public.orders` is no table of the name `DATA public.orders`. */
const WORDS = [...Object.keys(KINDS), "TABLE DATA"].toSorted((a, b) => b.length - a.length);

/** `skipped`: entries that were not restored at all. */
export function toleratedBy(
  allowed: readonly RestoreFault[],
  skipped: ScratchPlan["left_out"] = [],
): Tolerated {
  const tables = new Set<string>();
  const sequences = new Set<string>();
  const numbers: Partial<Record<keyof ObjectNumbers, number>> = {};
  for (const { entry } of allowed) {
    const kind = WORDS.find((one) => entry?.startsWith(`${one} `)) ?? "";
    const name = entry?.slice(kind.length + 1) ?? "";
    if (kind === "TABLE" || kind === "TABLE DATA") tables.add(name);
    const number = KINDS[kind];
    if (number !== undefined) numbers[number] = (numbers[number] ?? 0) + 1;
  }
  for (const { entry } of skipped) {
    const name = `${entry.namespace}.${entry.tag}`;
    if (entry.description === "TABLE DATA") tables.add(name);
    if (entry.description === "SEQUENCE SET") sequences.add(name);
    const number = KINDS[entry.description];
    if (number !== undefined) numbers[number] = (numbers[number] ?? 0) + 1;
  }
  return { tables, sequences, numbers };
}
