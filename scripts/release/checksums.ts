import { existsSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { output, type Release, ReleaseError } from "./commit.ts";

const FILE = "SHA256SUMS";

/** Writes SHA256SUMS over every file of a directory, in the form of sha256sum(1). */
export async function writeChecksums(directory: string): Promise<string> {
  const names = (await readdir(directory)).filter((name) => !name.startsWith(FILE)).sort();
  const lines: string[] = [];
  for (const name of names) {
    const hash = new Bun.CryptoHasher("sha256");
    for await (const chunk of Bun.file(join(directory, name)).stream()) hash.update(chunk);
    lines.push(`${hash.digest("hex")}  ${name}\n`);
  }
  await Bun.write(join(directory, FILE), lines.join(""));
  return lines.join("");
}

/** Throws, before the long work, if there is no such key. */
export function refuseMissingKey(key: string): void {
  if (!existsSync(key)) throw new ReleaseError(`${key}: no such key`, `make one with: minisign -G -s ${key}`);
}

/** Signs SHA256SUMS with minisign, which asks for the key's password, and checks that with the public key beside it. */
export async function signChecksums(directory: string, key: string, release: Release): Promise<void> {
  const file = join(directory, FILE);
  const comment = `pg321 ${release.version}, commit ${release.commit}`;
  const child = Bun.spawn(["minisign", "-S", "-s", key, "-m", file, "-t", comment], {
    // A person types the password.
    stdio: ["inherit", "inherit", "inherit"],
  });
  if ((await child.exited) !== 0)
    throw new ReleaseError("minisign did not sign SHA256SUMS", "see its message above");
  const publicKey = key.replace(/\.key$/, ".pub");
  if (publicKey !== key && (await Bun.file(publicKey).exists()))
    await output(["minisign", "-V", "-q", "-p", publicKey, "-m", file]);
}
