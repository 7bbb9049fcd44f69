import { constants } from "node:fs";
import { access, readFile } from "node:fs/promises";
import { isAbsolute, join } from "node:path";
import { exactText } from "../../base/text/utf8.ts";

/** Where values come from that do not stand in the file itself. */
export interface ValueSource {
  env: Readonly<Record<string, string | undefined>>;
  /** The directory of systemd's credentials (`$CREDENTIALS_DIRECTORY`); undefined outside of a unit. */
  credentialsDirectory?: string | undefined;
  /** Where the unit's credentials come from, for root outside of it: `credentials` beside the config. */
  credentialFiles?: string | undefined;
}

/** In the unit `LoadCredential=pg321:/etc/pg321/credentials` makes `pg321_NAME` of each file there (systemd.exec(5)). */
const UNIT_PREFIX = "pg321_";

/** A value that was fetched from outside: text, which the schema turns into what it expects. */
export class OutsideText {
  readonly text: string;
  /** `environment variable "R2_BUCKET_NAME"`, for messages, which never show the text. */
  readonly origin: string;

  constructor(text: string, origin: string) {
    this.text = text;
    this.origin = origin;
  }
}

/** A value that could not be fetched; the schema reports it together with what it expects there. */
export class MissingValue {
  /** `environment variable "R2_BUCKET_NAME" is not set` */
  readonly reason: string;

  constructor(reason: string) {
    this.reason = reason;
  }
}

const SOURCES = ["env", "file", "credential"] as const;
const REFERENCE_KEYS: readonly string[] = [...SOURCES, "default"];

/** How a reference is written, for messages. */
export const REFERENCE_FORMS = '{ env = "NAME" }, { file = "/path" } or { credential = "name" }';

export function isTable(value: unknown): value is Record<string, unknown> {
  if (typeof value !== "object" || value === null) return false;
  const prototype = Object.getPrototypeOf(value);
  return prototype === null || prototype === Object.prototype;
}

/** Whether a table stands for a value from outside: `{ env = "NAME", default = "…" }`. */
export function isReference(value: unknown): value is Record<string, unknown> {
  return isTable(value) && SOURCES.some((source) => Object.hasOwn(value, source));
}

/**
 * A copy of a parsed TOML value in which every reference is an `OutsideText`, its own default, or a
 * `MissingValue`. Never rejects.
 */
export async function fetchValues(value: unknown, source: ValueSource): Promise<unknown> {
  if (Array.isArray(value)) return Promise.all(value.map((item) => fetchValues(item, source)));
  if (isReference(value)) return fetchReference(value, source);
  if (!isTable(value)) return value;
  const entries = Object.entries(value).map(async ([key, item]) => [key, await fetchValues(item, source)]);
  return Object.fromEntries(await Promise.all(entries));
}

export interface ReferenceName {
  kind: (typeof SOURCES)[number];
  name: string;
}

/** What a parsed TOML value takes from outside, in the order of the file. */
export function referencesIn(value: unknown): ReferenceName[] {
  if (Array.isArray(value)) return value.flatMap(referencesIn);
  if (!isTable(value)) return [];
  if (!isReference(value)) return Object.values(value).flatMap(referencesIn);
  return SOURCES.flatMap((kind) => {
    const name = value[kind];
    return typeof name === "string" && name !== "" ? [{ kind, name }] : [];
  });
}

async function fetchReference(reference: Record<string, unknown>, source: ValueSource): Promise<unknown> {
  const stray = Object.keys(reference).find((key) => !REFERENCE_KEYS.includes(key));
  if (stray !== undefined) {
    return new MissingValue(`unknown key ${JSON.stringify(stray)} beside "env", "file" or "credential"`);
  }
  const named = SOURCES.filter((name) => Object.hasOwn(reference, name));
  const [kind] = named;
  if (kind === undefined || named.length > 1) {
    return new MissingValue(`found ${named.join(" and ")} together, expected one of them`);
  }
  const name = reference[kind];
  if (typeof name !== "string" || name === "") {
    return new MissingValue(`found no name after "${kind}", expected ${REFERENCE_FORMS}`);
  }
  const fetched = await fetchFrom(kind, name, source);
  const isDefaulted = fetched instanceof MissingValue && Object.hasOwn(reference, "default");
  return isDefaulted ? reference["default"] : fetched;
}

async function fetchFrom(
  kind: (typeof SOURCES)[number],
  name: string,
  source: ValueSource,
): Promise<OutsideText | MissingValue> {
  switch (kind) {
    case "env": {
      const text = source.env[name];
      const origin = `environment variable ${JSON.stringify(name)}`;
      // Empty counts as unset, as in a shell's ${NAME:-default}: unit files cannot unset a variable.
      return text ? new OutsideText(text, origin) : new MissingValue(`${origin} is not set`);
    }
    case "file":
      if (!isAbsolute(name)) return new MissingValue(`file ${JSON.stringify(name)} is not an absolute path`);
      return readText(name, `file ${JSON.stringify(name)}`);
    case "credential": {
      const origin = `credential ${JSON.stringify(name)}`;
      if (!/^[A-Za-z0-9_.-]+$/.test(name) || name.startsWith(".")) {
        return new MissingValue(`${origin} is not the name of a credential`);
      }
      return fetchCredential(name, origin, source);
    }
  }
}

/** As systemd hands it over, else from the files that systemd would take it from. */
async function fetchCredential(
  name: string,
  origin: string,
  { credentialsDirectory, credentialFiles }: ValueSource,
): Promise<OutsideText | MissingValue> {
  const handedOver =
    credentialsDirectory === undefined
      ? []
      : [join(credentialsDirectory, name), join(credentialsDirectory, `${UNIT_PREFIX}${name}`)];
  for (const path of handedOver) if (await isThere(path)) return readText(path, origin);
  const file = credentialFiles === undefined ? undefined : join(credentialFiles, name);
  const looked = [...handedOver, ...(file === undefined ? [] : [file])].join(", ");
  if (file === undefined)
    return new MissingValue(`${origin} is not there (looked for ${looked || "nothing"})`);
  if (handedOver.length > 0) {
    // The service's user cannot look into the directory, which is root's: it gets them when it starts.
    return (await isThere(file))
      ? readText(file, origin)
      : new MissingValue(
          `${origin} was not handed over (looked for ${looked}; put it into ${credentialFiles} and restart the service)`,
        );
  }
  try {
    await access(file, constants.R_OK);
  } catch (error) {
    return new MissingValue(
      (error as NodeJS.ErrnoException).code === "ENOENT"
        ? `${origin} is not there (looked for ${looked})`
        : `${origin} may not be read by this user (${looked}; run it with sudo)`,
    );
  }
  return readText(file, origin);
}

/** False also where nobody may look. */
async function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

const OUTSIDE_BYTES_MAX = 64 * 1024;

/** One trailing line end is the editor's, not the secret's. */
async function readText(path: string, origin: string): Promise<OutsideText | MissingValue> {
  try {
    const bytes = await readFile(path);
    if (bytes.length > OUTSIDE_BYTES_MAX) return new MissingValue(`${origin} is larger than 64 KiB`);
    const text = exactText(bytes)?.replace(/\r?\n$/, "");
    if (text === undefined) return new MissingValue(`${origin} is not UTF-8 text`);
    return text === "" ? new MissingValue(`${origin} is empty`) : new OutsideText(text, origin);
  } catch (error) {
    return new MissingValue(`${origin} cannot be read (${(error as NodeJS.ErrnoException).code})`);
  }
}
