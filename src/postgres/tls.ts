import { readFile } from "node:fs/promises";
import { messageOf, Pg321Error } from "../base/errors.ts";
import { PLACE_MS_MAX, placeAt } from "../base/files/place.ts";
import { readCertificates } from "../base/network/certificates.ts";
import type { ServerConfig } from "../config/config.ts";

/** What of an endpoint is about TLS. */
interface TlsSettings extends Pick<ServerConfig, "sslmode" | "sslrootcert" | "sslcert" | "sslkey"> {
  label: string;
}

/**
 * libpq's modes in the words of the `postgres` package. `allow` becomes `prefer`: both take what the server offers.
 * Throws code `database` for a file that cannot be used.
 */
export async function tlsOf(endpoint: TlsSettings): Promise<"require" | "prefer" | false | object> {
  const { sslmode, sslrootcert, sslcert, sslkey } = endpoint;
  if (sslmode === "disable") return false;
  const isVerified = sslmode.startsWith("verify-") || (sslmode === "require" && sslrootcert !== undefined);
  if (!isVerified && !sslcert) return sslmode === "require" ? "require" : "prefer";
  return {
    rejectUnauthorized: isVerified,
    ...(sslrootcert && sslrootcert !== "system" && { ca: await certificates(endpoint, sslrootcert) }),
    ...(sslcert && { cert: await certificates(endpoint, sslcert) }),
    ...(sslkey && { key: await privateKey(endpoint, sslkey) }),
    ...(sslmode !== "verify-full" && { checkServerIdentity: () => undefined }),
  };
}

async function certificates({ label }: TlsSettings, file: string): Promise<string> {
  const read = await readCertificates(file);
  if ("text" in read) return read.text;
  throw new Pg321Error("database", `${label}: the certificates in ${file}: ${read.problem}`, {
    hint: read.hint,
  });
}

async function privateKey({ label }: TlsSettings, file: string): Promise<Buffer> {
  try {
    return await placeAt(file).run({ what: `sslkey ${file}`, limitMs: PLACE_MS_MAX }, () => readFile(file));
  } catch (cause) {
    throw new Pg321Error("database", `${label}: cannot read ${file}: ${messageOf(cause)}`, {
      cause,
      hint: "name the client's key as sslkey, and let the service's user read it",
    });
  }
}
