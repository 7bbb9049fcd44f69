import { armor } from "age-encryption";
import { Pg321Error } from "../base/errors.ts";
import type { Secret } from "../base/secret.ts";
import { decryptAge, x25519Encrypter } from "./file-key.ts";

/**
 * What a manifest tells only to who holds an identity (row counts, names of tables, messages): JSON as
 * an armored age file, which `jq -r .details | age -d -i IDENTITY` opens.
 */
export async function sealDetails(
  details: Record<string, unknown>,
  recipients: readonly string[],
): Promise<string> {
  return armor.encode(await x25519Encrypter(recipients).encrypt(JSON.stringify(details)));
}

/** For the details of a verified manifest. Throws code `key` when no identity opens them. */
export async function openDetails(sealed: string, identities: readonly Secret[]): Promise<unknown> {
  try {
    return JSON.parse(Buffer.from(await decryptAge(armor.decode(sealed), identities)).toString());
  } catch (cause) {
    if (cause instanceof Pg321Error) throw cause;
    throw new Pg321Error("verification", "manifest: its details are damaged", { cause });
  }
}
