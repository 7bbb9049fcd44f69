import { armor, Decrypter, Encrypter } from "age-encryption";
import { Pg321Error } from "../base/errors.ts";
import type { Secret } from "../base/secret.ts";

const ARMOR_START = "-----BEGIN AGE ENCRYPTED FILE-----";

export function isArmored(text: string): boolean {
  return text.trimStart().startsWith(ARMOR_START);
}

/** An armored age file that the passphrase opens, also with stock `age -d` (scrypt: a second or two during which nothing else runs). */
export async function sealText(text: string, passphrase: Secret): Promise<string> {
  const encrypter = new Encrypter();
  encrypter.setPassphrase(passphrase.reveal());
  return armor.encode(await encrypter.encrypt(text));
}

/**
 * The text of an armored age file. Throws code `key` if the passphrase does not open it, `verification` if it is
 * damaged; `what` names the file.
 */
export async function openText(what: string, armored: string, passphrase: Secret): Promise<string> {
  const decrypter = new Decrypter();
  decrypter.addPassphrase(passphrase.reveal());
  try {
    return await decrypter.decrypt(armor.decode(armored), "text");
  } catch (cause) {
    // The library's one message for a key that does not fit.
    if (cause instanceof Error && cause.message.startsWith("no identity matched"))
      throw new Pg321Error("key", `${what}: the passphrase does not open it`, {
        hint: "try the passphrase that the file was made with",
        cause,
      });
    throw new Pg321Error("verification", `${what}: it is damaged or incomplete`, {
      hint: "use another copy of the file",
      cause,
    });
  }
}
