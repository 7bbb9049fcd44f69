import { resolve } from "node:path";
import { Pg321Error } from "../base/errors.ts";
import { IDENTITY_FILE, SIGNING_KEY_FILE, writeProverKey } from "../install/new-keys.ts";
import type { IdentityFile } from "../sealed/identity.ts";
import type { Invocation } from "./command.ts";
import { isSet, textOption } from "./command.ts";
import { jsonText } from "./output/output.ts";

/**
 * `key generate --prover`: the signing key of a host that has another host's identity and tests its backups. The
 * identity stays as it is.
 */
export async function generateProverKey(
  { arguments: args, output, clock }: Invocation,
  open: (identityFile: string) => Promise<IdentityFile>,
): Promise<number> {
  const identityFile = resolve(textOption(args, "identity") ?? IDENTITY_FILE);
  const signingKeyFile = resolve(textOption(args, "signing-key") ?? SIGNING_KEY_FILE);
  const { installation } = await open(identityFile);
  if (installation === undefined)
    throw new Pg321Error("key", `identity file ${identityFile}: it names no installation`, {
      hint: 'add its line "# installation: ID"; pg321 key show prints the id on the host that makes the backups',
    });
  const { signer } = await writeProverKey(signingKeyFile, installation, clock);
  if (isSet(args, "json")) {
    output.print(
      jsonText({ identity_file: identityFile, signing_key_file: signingKeyFile, signer, installation }),
    );
    return 0;
  }
  output.print(
    [
      `${output.style.bold("signing key")}   ${signingKeyFile}`,
      `${output.style.bold("installation")}  ${installation}`,
      "",
      "On the host that makes the backups, add to the config, so that it counts the restore tests of this host:",
      "",
      "  [rule]",
      `  trusted_provers = ["${signer}"]`,
    ].join("\n"),
  );
  return 0;
}
