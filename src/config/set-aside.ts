import { Pg321Error } from "../base/errors.ts";
import type { Config, UnusableTable } from "./config.ts";
import { isTable, MissingValue, OutsideText } from "./schema/values.ts";

/** Placeholders for unresolved values of a table that is never used. They differ, so that no two storages are one place. */
const STORAGE_PLACEHOLDERS: Readonly<Record<string, (index: number) => string>> = {
  account_id: () => "unresolved",
  endpoint: (index) => `https://unresolved-${index}.invalid`,
  region: () => "unresolved",
  bucket: (index) => `unresolved-${index}`,
  prefix: (index) => `unresolved-${index}`,
  path: (index) => `/nonexistent/unresolved-${index}`,
  access_key_id: () => "unresolved",
  secret_access_key: () => "unresolved",
  session_token: () => "unresolved",
};
const SERVER_PLACEHOLDERS: Readonly<Record<string, (index: number) => string>> = {
  url: () => "postgres://unresolved@unresolved.invalid",
  host: () => "unresolved.invalid",
  user: () => "unresolved",
  password: () => "unresolved",
};

type Table = Record<string, unknown>;

export interface SetAside {
  document: unknown;
  unusable: UnusableTable[];
}

/**
 * A fetched document without unresolved values, for commands that only read backups: a storage or a server with such a
 * value gets placeholders; a notifier, [http], [restore_test] and the identity's passphrase are left out. Other missing values remain
 * mistakes.
 */
export function setAside(fetched: unknown): SetAside {
  if (!isTable(fetched)) return { document: fetched, unusable: [] };
  const unusable: UnusableTable[] = [];
  const document = { ...fetched };
  const fill = (kind: "storage" | "server", placeholders: typeof STORAGE_PLACEHOLDERS) => {
    const tables = document[kind];
    if (!Array.isArray(tables)) return;
    document[kind] = tables.map((table: unknown, index) => {
      const missing = missingIn(table);
      if (!isTable(table) || missing.length === 0) return table;
      unusable.push({ kind, name: nameOf(table), reason: reasonOf(missing) });
      return { ...table, ...filled(missing, placeholders, index) };
    });
  };
  fill("storage", STORAGE_PLACEHOLDERS);
  fill("server", SERVER_PLACEHOLDERS);
  leaveOutNotifiers(document, unusable);
  leaveOutTable("http", document, unusable);
  leaveOutTable("restore_test", document, unusable);
  leaveOutPassphrase(document, unusable);
  return { document, unusable };
}

type Missing = [key: string, value: MissingValue];

function missingIn(table: unknown): Missing[] {
  if (!isTable(table)) return [];
  return Object.entries(table).filter((entry): entry is Missing => entry[1] instanceof MissingValue);
}

function reasonOf(missing: readonly Missing[]): string {
  return missing.map(([key, { reason }]) => `${key}: ${reason}`).join("; ");
}

function nameOf({ name }: Table): string {
  return name instanceof OutsideText ? name.text : String(name);
}

function filled(
  missing: readonly Missing[],
  placeholders: typeof STORAGE_PLACEHOLDERS,
  index: number,
): Table {
  return Object.fromEntries(
    missing.map(([key, value]) => {
      const text = placeholders[key]?.(index);
      return [key, text === undefined ? value : new OutsideText(text, "nothing")];
    }),
  );
}

function leaveOutNotifiers(document: Table, unusable: UnusableTable[]): void {
  const { notify } = document;
  if (!Array.isArray(notify)) return;
  const usable = notify.filter((table: unknown) => {
    const missing = missingIn(table);
    if (isTable(table) && missing.length > 0)
      unusable.push({ kind: "notify", name: nameOf(table), reason: reasonOf(missing) });
    return missing.length === 0;
  });
  if (usable.length > 0) document["notify"] = usable;
  else delete document["notify"];
}

function leaveOutTable(kind: "http" | "restore_test", document: Table, unusable: UnusableTable[]): void {
  const missing = missingIn(document[kind]);
  if (missing.length === 0) return;
  unusable.push({ kind, name: kind, reason: reasonOf(missing) });
  delete document[kind];
}

/** Without a configured passphrase the user is asked for it on the terminal. */
function leaveOutPassphrase(document: Table, unusable: UnusableTable[]): void {
  const { encryption } = document;
  if (!isTable(encryption)) return;
  const { identity_passphrase, ...rest } = encryption;
  if (!(identity_passphrase instanceof MissingValue)) return;
  const reason = reasonOf([["identity_passphrase", identity_passphrase]]);
  unusable.push({ kind: "encryption", name: "encryption", reason });
  document["encryption"] = rest;
}

/** `storage "r2" is not usable: secret_access_key: credential "r2-key" does not exist (…)` */
export function unusableText({ kind, name, reason }: UnusableTable): string {
  if (kind === "http" || kind === "encryption" || kind === "restore_test")
    return `[${kind}] is incomplete: ${reason}`;
  const what = kind === "notify" ? "notifier" : kind;
  return `${what} ${JSON.stringify(name)} is not usable: ${reason}`;
}

export const UNUSABLE_HINT = "provide the missing value where the config refers to it, or correct the config";

/** Throws code `usage` for a server whose values could not be resolved. */
export function requireUsableServer({ unusable }: Pick<Config, "unusable">, name: string): void {
  const found = unusable.find((one) => one.kind === "server" && one.name === name);
  if (found) throw new Pg321Error("usage", unusableText(found), { hint: UNUSABLE_HINT });
}
