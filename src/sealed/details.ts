import { armor } from "age-encryption";
import { Pg321Error } from "../base/errors.ts";
import { KIB, MANIFEST_BYTES_MAX } from "../base/limits.ts";
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

/** The other members of a manifest, whose names and keys have a limited length. */
const OTHER_MEMBERS_BYTES = 24 * KIB;
/** Of an age file, at most: its header, and each recipient's line. */
const AGE_BYTES = 4 * KIB;
const RECIPIENT_BYTES = 256;

/** The largest JSON whose sealed form fits into a manifest: base64 in lines of 64, whose ends JSON escapes. */
export function detailsBytesMax(recipients: number): number {
  const armored = MANIFEST_BYTES_MAX - OTHER_MEMBERS_BYTES;
  return Math.floor((((armored * 64) / 66) * 3) / 4) - AGE_BYTES - recipients * RECIPIENT_BYTES;
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
