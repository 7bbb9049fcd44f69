import { X509Certificate } from "node:crypto";
import { readFile, stat } from "node:fs/promises";
import { systemClock } from "../clock.ts";
import { messageOf, Pg321Error } from "../errors.ts";
import { PLACE_MS_MAX, placeAt } from "../files/place.ts";
import { MIB } from "../limits.ts";
import { userName } from "../process/become-user.ts";
import { shellQuoted } from "../text/shell.ts";

/** A bundle of all public authorities has a quarter of this size. */
const BYTES_MAX = MIB;
/** A replaced file is used after this time at the latest. */
const REREAD_MS = 10_000;
const BLOCKS = /-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g;
const PEM = "PEM (-----BEGIN CERTIFICATE-----)";

/** Whether a failed TLS handshake was about the certificate of the other side. */
export function isCertificateCode(code: string): boolean {
  return /CERT|SELF_SIGNED|UNABLE_TO_(VERIFY|GET_ISSUER)|ERR_TLS/.test(code);
}

/** The hint for a certificate that no known authority signed, or that is for another name or time. */
export const CA_FILE_HINT =
  "set ca_file to the certificate of the authority that signed it, and check the host name and the clock";

/** The text of a file with certificates, or its problem and a hint. */
export type CertificateFile = { text: string } | { problem: string; hint: string };

/** Throws code `storage` if the file system does not answer, and the signal's reason. */
export async function readCertificates(file: string, signal?: AbortSignal): Promise<CertificateFile> {
  const call = { what: file, limitMs: PLACE_MS_MAX, signal };
  const bytes = await placeAt(file).run(call, () => readSmall(file));
  const problem = typeof bytes === "string" ? bytes : certificateProblem(bytes);
  if (problem !== undefined) return { problem, hint: hintFor(file, bytes) };
  return { text: new TextDecoder().decode(bytes as Uint8Array) };
}

interface Authorities {
  text: string;
  readAtMs: number;
}

const known = new Map<string, Authorities>();

/**
 * The text of a `ca_file`, which is read again every ten seconds at most. Throws code `usage` with the problem:
 * `ca_file /etc/pg321/ca.pem: there is no such file`; code `storage` if its file system does not answer.
 */
export async function authorities(file: string, signal?: AbortSignal): Promise<string> {
  const last = known.get(file);
  const now = systemClock.monotonicMs();
  if (last !== undefined && now - last.readAtMs < REREAD_MS) return last.text;
  const read = await readCertificates(file, signal);
  if ("problem" in read) {
    throw new Pg321Error("usage", `ca_file ${file}: ${read.problem}`, { hint: read.hint });
  }
  known.set(file, { text: read.text, readAtMs: now });
  return read.text;
}

/** The bytes of a file, or why they cannot be read. */
async function readSmall(file: string): Promise<Uint8Array | string> {
  try {
    const stats = await stat(file);
    if (!stats.isFile()) return "found no regular file";
    if (stats.size > BYTES_MAX) return "found more than 1 MiB, which cannot be a file of certificates";
    return await readFile(file);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR") return "there is no such file";
    if (code === "EACCES") return `user "${userName()}" cannot read it`;
    return `it cannot be read (${code ?? messageOf(error)})`;
  }
}

/** Why the bytes are not certificates in PEM; undefined if they are. */
function certificateProblem(bytes: Uint8Array): string | undefined {
  const text = new TextDecoder().decode(bytes);
  const blocks = text.match(BLOCKS) ?? [];
  if (blocks.length === 0) {
    if (bytes.length === 0) return `found an empty file, expected ${PEM}`;
    if (isDer(bytes)) return `found a certificate in DER, expected ${PEM}`;
    return `found no certificate, expected ${PEM}`;
  }
  const broken = blocks.findIndex((block) => !isCertificate(block));
  return broken < 0 ? undefined : `certificate ${broken + 1} of ${blocks.length} in it is damaged`;
}

function isCertificate(given: string | Uint8Array): boolean {
  try {
    return new X509Certificate(given) !== undefined;
  } catch {
    return false;
  }
}

function isDer(bytes: Uint8Array): boolean {
  // Every certificate begins with a SEQUENCE.
  return bytes[0] === 0x30 && isCertificate(bytes);
}

function hintFor(file: string, bytes: Uint8Array | string): string {
  if (typeof bytes !== "string" && isDer(bytes)) {
    return `convert it: openssl x509 -inform der -in ${shellQuoted(file)} -out ${shellQuoted(`${file.replace(/\.\w+$/, "")}.pem`)}`;
  }
  return "name a file in PEM that the service's user can read, such as /etc/pg321/ca.pem";
}
