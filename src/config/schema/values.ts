import { constants } from "node:fs";
import { access, readFile } from "node:fs/promises";
import { isAbsolute, join } from "node:path";
import { exists } from "../../base/files/missing.ts";
import { exactText } from "../../base/text/utf8.ts";

/** Where values from outside the config file come from. */
export interface ValueSource {
  env: Readonly<Record<string, string | undefined>>;
  /** The directory of systemd's credentials (`$CREDENTIALS_DIRECTORY`); undefined outside a unit. */
  credentialsDirectory?: string | undefined;
  /** The directory from which systemd loads the credentials, for root outside the unit: `credentials` beside the config. */
  credentialFiles?: string | undefined;
}

/** `LoadCredential=pg321:/etc/pg321/credentials` passes each file there to the unit as `pg321_NAME` (systemd.exec(5)). */
const UNIT_PREFIX = "pg321_";

/** A value from outside, as text; the schema converts it to the type it expects. */
export class OutsideText {
  readonly text: string;
  /** `environment variable "R2_BUCKET_NAME"`, for messages, which never show the text. */
  readonly origin: string;

  constructor(text: string, origin: string) {
    this.text = text;
    this.origin = origin;
  }
}

/** A value that could not be fetched; the schema reports the reason together with the expected value. */
export class MissingValue {
  /** `environment variable "R2_BUCKET_NAME" is not set` */
  readonly reason: string;

  constructor(reason: string) {
    this.reason = reason;
  }
}

const SOURCES = ["env", "file", "credential"] as const;
const REFERENCE_KEYS: readonly string[] = [...SOURCES, "default"];

/** The forms of a reference, for messages. */
export const REFERENCE_FORMS = '{ env = "NAME" }, { file = "/path" } or { credential = "name" }';

export function isTable(value: unknown): value is Record<string, unknown> {
  if (typeof value !== "object" || value === null) return false;
  const prototype = Object.getPrototypeOf(value);
  return prototype === null || prototype === Object.prototype;
}

/** Whether a table is a reference to a value from outside: `{ env = "NAME", default = "…" }`. */
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

/** The references in a parsed TOML value, in the order of the file. */
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
    return new MissingValue(`unknown key ${JSON.stringify(stray)} next to "env", "file" or "credential"`);
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
      // An empty variable counts as unset, as in a shell's ${NAME:-default}: unit files cannot unset a variable.
      return text ? new OutsideText(text, origin) : new MissingValue(`${origin} is not set`);
    }
    case "file":
      if (!isAbsolute(name)) return new MissingValue(`file ${JSON.stringify(name)} is not an absolute path`);
      return readText(name, `file ${JSON.stringify(name)}`);
    case "credential": {
      const origin = `credential ${JSON.stringify(name)}`;
      if (!/^[A-Za-z0-9_.-]+$/.test(name) || name.startsWith(".")) {
        return new MissingValue(`${origin} is not a valid name of a credential`);
      }
      return fetchCredential(name, origin, source);
    }
  }
}

/** Reads a credential that systemd passed to the unit; otherwise the file from which systemd would load it. */
async function fetchCredential(
  name: string,
  origin: string,
  { credentialsDirectory, credentialFiles }: ValueSource,
): Promise<OutsideText | MissingValue> {
  const passed =
    credentialsDirectory === undefined
      ? []
      : [join(credentialsDirectory, name), join(credentialsDirectory, `${UNIT_PREFIX}${name}`)];
  for (const path of passed) if (await exists(path)) return readText(path, origin);
  const file = credentialFiles === undefined ? undefined : join(credentialFiles, name);
  const looked = [...passed, ...(file === undefined ? [] : [file])].join(", ");
  if (file === undefined)
    return new MissingValue(`${origin} does not exist (looked for ${looked || "nothing"})`);
  if (passed.length > 0) {
    // The directory belongs to root, so the service's user cannot read it: systemd passes its files at the start.
    return (await exists(file))
      ? readText(file, origin)
      : new MissingValue(
          `systemd did not pass ${origin} to the service (looked for ${looked}): it passes credentials on only when the service starts, so put it into ${credentialFiles}, then systemctl restart pg321`,
        );
  }
  try {
    await access(file, constants.R_OK);
  } catch (error) {
    return new MissingValue(
      (error as NodeJS.ErrnoException).code === "ENOENT"
        ? `${origin} does not exist (looked for ${looked})`
        : `this user may not read ${origin} (${looked}; use sudo)`,
    );
  }
  return readText(file, origin);
}

const OUTSIDE_BYTES_MAX = 64 * 1024;

/** Reads a value; one line end at its end is removed, because editors add it. */
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
