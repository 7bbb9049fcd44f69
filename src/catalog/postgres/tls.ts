import { readFile } from "node:fs/promises";
import { messageOf, Pg321Error } from "../../base/errors.ts";
import { PLACE_MS_MAX, placeAt } from "../../base/files/place.ts";
import { readCertificates } from "../../base/network/certificates.ts";
import type { CatalogUrl } from "../../config/catalog-url.ts";

/** libpq's modes in the words of the `postgres` package. Throws code `storage` for a file that cannot be used. */
export async function tlsOf(
  { sslmode, sslrootcert, sslcert, sslkey }: CatalogUrl,
  label: string,
): Promise<"require" | "prefer" | false | object> {
  if (sslmode === "disable") return false;
  const isVerified = sslmode.startsWith("verify-") || (sslmode === "require" && sslrootcert !== undefined);
  // Both `allow` and `prefer` take what the server offers.
  if (!isVerified && !sslcert) return sslmode === "require" ? "require" : "prefer";
  return {
    rejectUnauthorized: isVerified,
    ...(sslrootcert && sslrootcert !== "system" && { ca: await certificates(sslrootcert, label) }),
    ...(sslcert && { cert: await certificates(sslcert, label) }),
    ...(sslkey && { key: await privateKey(sslkey, label) }),
    ...(sslmode !== "verify-full" && { checkServerIdentity: () => undefined }),
  };
}

async function certificates(file: string, label: string): Promise<string> {
  const read = await readCertificates(file);
  if ("text" in read) return read.text;
  throw new Pg321Error("storage", `${label}: the certificates in ${file}: ${read.problem}`, {
    hint: read.hint,
  });
}

async function privateKey(file: string, label: string): Promise<Buffer> {
  try {
    return await placeAt(file).run({ what: `sslkey ${file}`, limitMs: PLACE_MS_MAX }, () => readFile(file));
  } catch (cause) {
    throw new Pg321Error("storage", `${label}: cannot read ${file}: ${messageOf(cause)}`, {
      cause,
      hint: "name the client's key as sslkey, and let the service's user read it",
    });
  }
}
