import { Encrypter } from "age-encryption";
import * as v from "valibot";
import { absolutePath, choice, type Leaf, leaf, secret } from "./leaf.ts";
import { list, rule, table } from "./table.ts";

const recipient: Leaf<string> = leaf(
  "an age X25519 recipient (age1…), as `pg321 key show` prints it; never the secret key itself",
  (value) => (typeof value === "string" && isX25519Recipient(value) ? value : undefined),
  // A value written here by mistake may be the secret key.
  { isShown: false },
);

/** The `[encryption]` table. */
export const encryptionSchema = v.pipe(
  table("the [encryption] table", {
    mode: v.optional(choice(["age", "none"]), "age"),
    recipients: v.optional(list(recipient, "an array of age X25519 recipients (age1…)"), []),
    identity_file: v.optional(absolutePath()),
    identity_passphrase: v.optional(secret("a passphrase")),
    signing_key_file: v.optional(absolutePath()),
  }),
  rule(({ mode, recipients, identity_file, identity_passphrase }, report) => {
    if (mode === "age" && Array.isArray(recipients) && recipients.length === 0) {
      report(
        ["recipients"],
        'missing, expected at least one age recipient (age1…) from `pg321 key generate`; or mode = "none" for backups that anyone can read',
      );
    }
    if (identity_passphrase !== undefined && identity_file === undefined) {
      report(
        ["identity_passphrase"],
        "found without identity_file, expected the identity file that it opens",
      );
    }
  }),
);

function isX25519Recipient(value: string): boolean {
  // The library accepts other kinds (post-quantum, tags), which do not fit into the header of a sealed file.
  if (!/^age1[02-9ac-hj-np-z]{58}$/.test(value)) return false;
  try {
    new Encrypter().addRecipient(value);
    return true;
  } catch {
    return false;
  }
}
