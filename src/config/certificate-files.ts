import { readCertificates } from "../base/network/certificates.ts";
import { type CatalogUrl, parseCatalogUrl } from "./catalog-url.ts";
import type { Config } from "./config.ts";
import type { KeyPath } from "./problems.ts";
import { isTable } from "./schema/values.ts";

/** A file of certificates that a config names. */
export interface NamedCertificates {
  path: KeyPath;
  file: string;
}

export interface CertificateProblem extends NamedCertificates {
  problem: string;
  hint: string;
}

/** The paths of every certificate and of the keys of client certificates, each once. */
export function certificateFiles(config: Naming): string[] {
  const keys = [...config.server, ...catalogUrlOf(config)].flatMap(({ sslkey }) => sslkey ?? []);
  return [...new Set([...namedCertificates(config).map(({ file }) => file), ...keys])];
}

type Naming = Pick<Config, "server" | "storage" | "notify" | "catalog">;

/** What the URL of a catalog in PostgreSQL says; nothing for a file. */
export function catalogUrlOf({ catalog }: Pick<Config, "catalog">): CatalogUrl[] {
  const url = catalog.type === "postgres" ? parseCatalogUrl(catalog.url.reveal()) : undefined;
  return url === undefined ? [] : [url];
}

/** The certificates of authorities and clients. `document`: the parsed file, which has the key that names them. */
export function namedCertificates(
  { server, storage, notify, catalog }: Naming,
  document?: unknown,
): NamedCertificates[] {
  const caFiles = { storage, notify };
  const named = [
    ...server.flatMap(({ sslrootcert, sslcert }, index) => [
      { path: ["server", index, serverKey(document, index, "sslrootcert")], file: sslrootcert },
      { path: ["server", index, serverKey(document, index, "sslcert")], file: sslcert },
    ]),
    ...catalogUrlOf({ catalog }).flatMap(({ sslrootcert, sslcert }) =>
      [sslrootcert, sslcert].map((file) => ({ path: ["catalog", "url"], file })),
    ),
    ...Object.entries(caFiles).flatMap(([table, entries]) =>
      entries.map((entry, index) => ({
        path: [table, index, "ca_file"],
        file: "ca_file" in entry ? entry.ca_file : undefined,
      })),
    ),
  ];
  // The word "system" is not a file.
  return named.flatMap(({ path, file }) => (file?.startsWith("/") ? [{ path, file }] : []));
}

function serverKey(document: unknown, index: number, key: string): string {
  const servers = isTable(document) ? document["server"] : undefined;
  const server = Array.isArray(servers) ? servers[index] : undefined;
  if (!isTable(server)) return key;
  const written = key === "sslrootcert" ? ["ca_file", key, "url"] : [key, "url"];
  return written.find((one) => server[one] !== undefined) ?? key;
}

/** The problem of each file, as far as this process's user can read it. A file system that hangs is a problem, too. */
export function certificateProblems(
  named: readonly NamedCertificates[],
  signal: AbortSignal,
): Promise<CertificateProblem[]> {
  const problems = named.map(async (one) => {
    const read = await readCertificates(one.file, signal).catch((error) => {
      signal.throwIfAborted();
      return { problem: error.message, hint: error.hint };
    });
    return "problem" in read ? [{ ...one, ...read }] : [];
  });
  return Promise.all(problems).then((found) => found.flat());
}
