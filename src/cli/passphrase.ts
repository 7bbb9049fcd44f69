import { readFile } from "node:fs/promises";
import { messageOf, Pg321Error } from "../base/errors.ts";
import { Secret } from "../base/secret.ts";
import { exactText } from "../base/text/utf8.ts";
import { askPassphrase } from "./open-context.ts";

/** Asks for a new passphrase on the terminal, twice. Throws code `usage` for a short one, and if the two differ. */
export async function newPassphrase(
  command: string,
  lengthMin: number,
  signal: AbortSignal,
): Promise<Secret> {
  const first = await askPassphrase("New passphrase: ", signal);
  requireLength(command, first, lengthMin);
  if (first !== (await askPassphrase("Again: ", signal)))
    throw new Pg321Error("usage", `${command}: the two passphrases differ`);
  return new Secret(first);
}

/** Throws code `usage` for a passphrase that is too short. */
export function requireLength(command: string, passphrase: string, lengthMin: number): void {
  if (passphrase.length >= lengthMin) return;
  throw new Pg321Error("usage", `${command}: a passphrase needs at least ${lengthMin} characters`);
}

/** The passphrase in a file; one line end at its end is the editor's. Throws code `key`. */
export async function passphraseIn(file: string): Promise<Secret> {
  // Invalid UTF-8 is refused: replacing bytes would give another passphrase, which nobody could type.
  const text = exactText(await readBytes(file, "passphrase file"));
  if (text !== undefined) return new Secret(text.replace(/\r?\n$/, ""));
  throw new Pg321Error("key", `passphrase file ${file}: is not UTF-8 text`, {
    hint: "convert it to UTF-8, or write it again with an editor set to UTF-8",
  });
}

/** Throws code `key`, with the name of the file. */
export async function readBytes(file: string, what: string): Promise<Buffer> {
  try {
    return await readFile(file);
  } catch (cause) {
    throw new Pg321Error("key", `${what} ${file}: ${messageOf(cause)}`, { cause });
  }
}
