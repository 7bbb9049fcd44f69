import type { ArchiveEntry } from "./format.ts";
import { quoteIdentifier } from "./sql-text.ts";

/** Kinds of entries that other entries can be a part of. */
const RELATIONS = ["TABLE", "FOREIGN TABLE", "VIEW", "MATERIALIZED VIEW"];

/** Parts whose tag begins with the name of their table, as `orders orders_pkey`, and the catalog of each kind. */
const NAMED_AFTER_TABLE: Readonly<Record<string, string>> = {
  CONSTRAINT: "constraint",
  "CHECK CONSTRAINT": "constraint",
  "FK CONSTRAINT": "constraint",
  DEFAULT: "default",
  TRIGGER: "trigger",
  RULE: "rule",
  POLICY: "policy",
};
/** Parts that only their dependency shows: a sequence depends on a table only if a column owns it. */
const DEPENDING_ON_TABLE = ["INDEX", "STATISTICS", "SEQUENCE", "ROW SECURITY"];

export function isRelation({ description }: ArchiveEntry): boolean {
  return RELATIONS.includes(description);
}

export function isPart({ description }: ArchiveEntry): boolean {
  return description in NAMED_AFTER_TABLE || DEPENDING_ON_TABLE.includes(description);
}

/** The table (or view) that an entry is a part of: a key, a default, an index, an owned sequence, a trigger … */
export function tableOf(
  entry: ArchiveEntry,
  byId: ReadonlyMap<number, ArchiveEntry>,
): ArchiveEntry | undefined {
  const { description, dependencies, namespace, tag } = entry;
  const related = dependencies.flatMap((id) => byId.get(id) ?? []);
  if (description === "SEQUENCE OWNED BY") {
    const sequence = related.find((one) => one.description === "SEQUENCE");
    return sequence && tableOf(sequence, byId);
  }
  if (!isPart(entry)) return undefined;
  const relations = related.filter(isRelation);
  if (description in NAMED_AFTER_TABLE)
    return relations.find((table) => table.namespace === namespace && tag.startsWith(`${table.tag} `));
  return relations.find((table) => table.namespace === namespace) ?? relations[0];
}

/** How to find an entry's object in the system catalogs. */
export interface ObjectName {
  kind: string;
  /** Quoted as in a statement for kinds with their own name; as it is for a part of a table. */
  name: string;
  /** The table, quoted, of a part. */
  table: string | null;
}

/** Undefined for kinds that cannot be looked up by name. */
export function objectOf(
  entry: ArchiveEntry,
  byId: ReadonlyMap<number, ArchiveEntry>,
): ObjectName | undefined {
  const { description, tag, drop } = entry;
  const partKind = NAMED_AFTER_TABLE[description];
  if (partKind !== undefined) {
    const table = tableOf(entry, byId);
    if (!table || partKind === "default") return undefined;
    return { kind: partKind, name: tag.slice(table.tag.length + 1), table: qualifiedName(table) };
  }
  if (isRelation(entry) || ["SEQUENCE", "INDEX"].includes(description))
    return { kind: "relation", name: qualifiedName(entry), table: null };
  if (["TYPE", "DOMAIN"].includes(description))
    return { kind: "type", name: qualifiedName(entry), table: null };
  if (description === "PUBLICATION") return { kind: "publication", name: tag, table: null };
  if (description === "EXTENSION") return { kind: "extension", name: tag, table: null };
  if (description === "SERVER") return { kind: "server", name: tag, table: null };
  const [, routine] = /^DROP (?:FUNCTION|PROCEDURE) (.+);\s*$/s.exec(drop) ?? [];
  return routine === undefined ? undefined : { kind: "routine", name: routine, table: null };
}

function qualifiedName({ namespace, tag }: ArchiveEntry): string {
  return [...(namespace === undefined ? [] : [namespace]), tag].map(quoteIdentifier).join(".");
}

/** As `TABLE public.orders` or `FK CONSTRAINT public.item item_order`. */
export function entryName({ description, namespace, tag }: ArchiveEntry): string {
  return `${description} ${namespace === undefined ? "" : `${namespace}.`}${tag}`;
}
