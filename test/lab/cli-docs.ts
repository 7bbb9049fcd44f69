import { join } from "node:path";

const FILE = join(import.meta.dir, "../../docs/cli.md");

/** A documented JSON key: `backups[].copies[].state`. */
export interface DocumentedKey {
  path: string;
  type: string;
}

export const CLI_DOCS: string = await Bun.file(FILE).text();

/** The part of docs/cli.md under a heading of level 2 or 3, up to the next one of the same or a higher level. */
export function section(heading: string): string {
  const [start] = new RegExp(`^(##+) ${heading}$`, "m").exec(CLI_DOCS) ?? [];
  if (start === undefined) throw new Error(`docs/cli.md has no heading "${heading}"`);
  const level = start.indexOf(" ");
  const rest = CLI_DOCS.slice(CLI_DOCS.indexOf(`${start}\n`) + start.length);
  const end = rest.search(new RegExp(`^#{1,${level}} `, "m"));
  return end < 0 ? rest : rest.slice(0, end);
}

/** The cells of every table row in a text, without header and ruler. */
export function rowsOf(text: string): string[][] {
  return [...text.matchAll(/^\| (`.*|\d.*) \|$/gm)].map(([, row = ""]) =>
    row.split(/ \|(?: |$)/).map((cell) => cell.trim()),
  );
}

export function documentedKeys(heading: string): DocumentedKey[] {
  return rowsOf(section(heading)).map(([path = "", type = ""]) => ({ path: path.replaceAll("`", ""), type }));
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z$/;
const isText = (value: unknown): value is string => typeof value === "string";

const TYPES: Record<string, (value: unknown) => boolean> = {
  text: isText,
  boolean: (value) => typeof value === "boolean",
  number: Number.isFinite,
  integer: Number.isSafeInteger,
  bytes: (value) => Number.isSafeInteger(value) && (value as number) >= 0,
  ms: (value) => Number.isSafeInteger(value) && (value as number) >= 0,
  time: (value) => isText(value) && TIME.test(value),
  uuid: (value) => isText(value) && UUID.test(value),
  sha256: (value) => isText(value) && /^[0-9a-f]{64}$/.test(value),
  object: (value) => typeof value === "object" && value !== null && !Array.isArray(value),
  array: Array.isArray,
};

/** The deviations of some JSON from its documentation: undocumented keys, and values of another type. */
export function misfits(json: unknown, documented: readonly DocumentedKey[]): string[] {
  const misfits: string[] = [];
  for (const { path, value } of leavesOf(json, "", new Set(opaque(documented)))) {
    const type = documented.find((key) => key.path === path)?.type;
    if (type === undefined) misfits.push(`${path} is not documented`);
    else if (!isOfType(value, type)) misfits.push(`${path} is ${JSON.stringify(value)}, not ${type}`);
  }
  return misfits;
}

/** The paths of all the leaves of some JSON documents. */
export function pathsOf(documents: readonly unknown[], documented: readonly DocumentedKey[]): string[] {
  const leaves = documents.flatMap((json) => leavesOf(json, "", new Set(opaque(documented))));
  return [...new Set(leaves.map(({ path }) => path))].sort();
}

/** Objects and arrays that are documented as a whole in another place: none of their keys is here. */
function opaque(documented: readonly DocumentedKey[]): string[] {
  const isWhole = (path: string) => !documented.some((key) => key.path.startsWith(`${path}.`));
  return documented
    .filter(({ type, path }) => /^(object|array)\b/.test(type) && isWhole(path))
    .map(({ path }) => path);
}

function isOfType(value: unknown, type: string): boolean {
  const [name = "", isNullable] = [type.replace(/ or null$/, ""), type.endsWith(" or null")];
  const matches = TYPES[name];
  if (!matches) throw new Error(`docs/cli.md uses the type "${type}", which it does not explain`);
  return (isNullable && value === null) || matches(value);
}

function leavesOf(node: unknown, path: string, whole: Set<string>): { path: string; value: unknown }[] {
  if (typeof node !== "object" || node === null || whole.has(path)) return [{ path, value: node }];
  if (Array.isArray(node)) return node.flatMap((item) => leavesOf(item, `${path}[]`, whole));
  return Object.entries(node).flatMap(([key, value]) =>
    leavesOf(value, path === "" ? key : `${path}.${key}`, whole),
  );
}
