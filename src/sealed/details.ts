import { armor } from "age-encryption";
import { Pg321Error } from "../base/errors.ts";
import type { Secret } from "../base/secret.ts";
import { exactText } from "../base/text/utf8.ts";
import { decryptAge, x25519Encrypter } from "./file-key.ts";
import { parseObject } from "./json.ts";

/**
 * The part of a manifest that only holders of an identity can read (row counts, names of tables, messages): JSON in
 * an armored age file, which `jq -r .details | age -d -i IDENTITY` opens.
 */
export async function sealDetails(
  details: Record<string, unknown>,
  recipients: readonly string[],
): Promise<string> {
  return armor.encode(await x25519Encrypter(recipients).encrypt(JSON.stringify(details)));
}

/**
 * For the details of a verified manifest. Throws code `key` if no identity opens them, `verification` if they are
 * damaged.
 */
export async function openDetails(
  sealed: string,
  identities: readonly Secret[],
): Promise<Record<string, unknown>> {
  const text = exactText(await decryptAge(unarmored(sealed), identities));
  if (text === undefined) throw invalid("are not UTF-8");
  return parseObject(text, (why) => invalid(`are damaged: the text ${why}`));
}

function unarmored(sealed: string): Uint8Array {
  try {
    return armor.decode(sealed);
  } catch (cause) {
    throw invalid("are not an armored age file", cause);
  }
}

function invalid(why: string, cause?: unknown): Pg321Error {
  return new Pg321Error("verification", `manifest: its details ${why}`, { cause });
}
