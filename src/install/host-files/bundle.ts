import * as v from "valibot";
import { Pg321Error } from "../../base/errors.ts";
import { modeText } from "../../base/process/owners.ts";
import type { Secret } from "../../base/secret.ts";
import { exactText } from "../../base/text/utf8.ts";
import { isArmored, openText, sealText } from "../../sealed/passphrase.ts";
import { HOST_FILE_ROLES } from "./list.ts";
import type { PresentFile, Rights } from "./survey.ts";

/** The first member of the JSON, so that a person who opens the file knows what it is. */
const FORMAT = "pg321 host 1";

const mode = v.pipe(
  v.string(),
  v.regex(/^[0-7]{4}$/),
  v.transform((text) => Number.parseInt(text, 8)),
);
const id = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const name = v.pipe(v.string(), v.regex(/^[^:\s\u0000]+$/));
const rights = { user: name, group: name, uid: id, gid: id, mode };
const path = v.pipe(
  v.string(),
  v.regex(/^(\/[^/\u0000]+)+$/),
  v.check((text) => !text.split("/").some((part) => part === "." || part === "..")),
);
const file = v.pipe(
  v.object({
    path,
    role: v.picklist(HOST_FILE_ROLES),
    ...rights,
    directory: v.object(rights),
    text: v.optional(v.string()),
    base64: v.optional(v.pipe(v.string(), v.base64())),
  }),
  v.transform(({ text, base64, ...rest }) => ({
    ...rest,
    content: text === undefined ? Buffer.from(base64 ?? "", "base64") : Buffer.from(text),
  })),
);
const bundle = v.object({
  format: v.literal(FORMAT),
  exported_at: v.pipe(v.string(), v.isoTimestamp()),
  host: v.string(),
  pg321_version: v.string(),
  config_file: path,
  files: v.array(file),
});

export type HostBundle = Omit<v.InferOutput<typeof bundle>, "format">;
export type BundledFile = HostBundle["files"][number];

export function bundledFile({ file: { path, role }, rights, directory, content }: PresentFile): BundledFile {
  return { path, role, ...rights, directory, content: Buffer.from(content) };
}

/** The text of the sealed file: armored; `age -d` decrypts it to JSON. */
export function sealBundle({ files, ...about }: HostBundle, passphrase: Secret): Promise<string> {
  const shown = {
    format: FORMAT,
    ...about,
    files: files.map(({ content, directory, ...rest }) => ({
      ...withMode(rest),
      directory: withMode(directory),
      ...contentMember(content),
    })),
  };
  return sealText(`${JSON.stringify(shown, null, 2)}\n`, passphrase);
}

function withMode<T extends Rights>(given: T): Omit<T, "mode"> & { mode: string } {
  return { ...given, mode: modeText(given.mode) };
}

function contentMember(content: Uint8Array): { text: string } | { base64: string } {
  const text = exactText(content);
  return text === undefined ? { base64: Buffer.from(content).toString("base64") } : { text };
}

/**
 * Opens a file made by `sealBundle`. Throws code `key` for a wrong passphrase or another kind of file, `verification` for
 * a damaged file, `usage` for a file of a newer pg321. `where` names the file in messages.
 */
export async function openBundle(where: string, bytes: Uint8Array, passphrase: Secret): Promise<HostBundle> {
  const armored = exactText(bytes);
  if (armored === undefined || !isArmored(armored)) throw foreign(where);
  return bundleIn(where, await openText(where, armored, passphrase));
}

/** Reads the text inside of the sealed file. Throws as `openBundle`. */
export function bundleIn(where: string, text: string): HostBundle {
  const json = parsed(text);
  const format = typeof json === "object" && json !== null && "format" in json ? json.format : undefined;
  if (typeof format !== "string" || !format.startsWith("pg321 host ")) throw foreign(where);
  if (format !== FORMAT)
    throw new Pg321Error("usage", `${where}: written by a newer pg321 (${format})`, {
      hint: "use that version of pg321, or open the file with age -d: it contains JSON",
    });
  const result = v.safeParse(bundle, json);
  if (result.success) {
    const { format: _, ...found } = result.output;
    return found;
  }
  // The issues of the parser are left out: they would quote secrets.
  throw new Pg321Error("verification", `${where}: its contents are not those of a pg321 export-keys file`, {
    hint: "use another copy of the file, or open it with age -d: it contains JSON",
  });
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function foreign(where: string): Pg321Error {
  return new Pg321Error("key", `${where}: not a file that pg321 export-keys wrote`, {
    hint: "name the file that pg321 export-keys wrote",
  });
}
