import { readFile } from "node:fs/promises";
import { type ErrorCode, messageOf, Pg321Error } from "../errors.ts";
import { PLACE_MS_MAX, placeAt } from "../files/place.ts";
import { readCertificates } from "./certificates.ts";

/** libpq's parameters about TLS: https://www.postgresql.org/docs/current/libpq-ssl.html. Paths of files in PEM. */
interface TlsSettings {
  sslmode: string;
  sslrootcert?: string | undefined;
  sslcert?: string | undefined;
  sslkey?: string | undefined;
}

/** Whose connection it is, in errors, and their code. */
interface TlsUser {
  label: string;
  code: Extract<ErrorCode, "database" | "storage">;
}

/**
 * libpq's modes in the words of the `postgres` package. `allow` becomes `prefer`: both take what the server offers.
 * Throws the user's code for a file that cannot be used.
 */
export async function tlsOf(
  { sslmode, sslrootcert, sslcert, sslkey }: TlsSettings,
  user: TlsUser,
): Promise<"require" | "prefer" | false | object> {
  if (sslmode === "disable") return false;
  const isVerified = sslmode.startsWith("verify-") || (sslmode === "require" && sslrootcert !== undefined);
  if (!isVerified && !sslcert) return sslmode === "require" ? "require" : "prefer";
  return {
    rejectUnauthorized: isVerified,
    ...(sslrootcert && sslrootcert !== "system" && { ca: await certificates(sslrootcert, user) }),
    ...(sslcert && { cert: await certificates(sslcert, user) }),
    ...(sslkey && { key: await privateKey(sslkey, user) }),
    ...(sslmode !== "verify-full" && { checkServerIdentity: () => undefined }),
  };
}

async function certificates(file: string, { label, code }: TlsUser): Promise<string> {
  const read = await readCertificates(file);
  if ("text" in read) return read.text;
  throw new Pg321Error(code, `${label}: the certificates in ${file}: ${read.problem}`, { hint: read.hint });
}

async function privateKey(file: string, { label, code }: TlsUser): Promise<Buffer> {
  try {
    return await placeAt(file).run({ what: `sslkey ${file}`, limitMs: PLACE_MS_MAX }, () => readFile(file));
  } catch (cause) {
    throw new Pg321Error(code, `${label}: cannot read ${file}: ${messageOf(cause)}`, {
      cause,
      hint: "name the client's key as sslkey, and let the service's user read it",
    });
  }
}
