import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Files of one certificate for a host. */
export interface Issued {
  key: string;
  certificate: string;
  /** The same certificate in DER. */
  der: string;
}

/** An authority that nobody trusts yet. */
export interface Authority extends AsyncDisposable {
  /** Its certificate, in PEM. */
  file: string;
  /** Names and addresses: `localhost`, `127.0.0.1`. */
  issue(...hosts: string[]): Promise<Issued>;
}

const KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
const DAYS = ["-days", "2"];

/** A company's own authority, made by openssl. */
export async function startAuthority(): Promise<Authority> {
  const directory = await mkdtemp(join(tmpdir(), "pg321-ca-"));
  const at = (name: string) => join(directory, name);
  const [file, authorityKey] = [at("ca.pem"), at("ca.key")];
  await openssl(
    "req",
    "-x509",
    ...KEY,
    ...DAYS,
    "-subj",
    "/CN=pg321 test CA",
    "-keyout",
    authorityKey,
    "-out",
    file,
  );
  let count = 0;
  return {
    file,
    async issue(...hosts) {
      const name = `host-${++count}`;
      const [key, request, certificate, der] = ["key", "csr", "crt", "der"].map((end) =>
        at(`${name}.${end}`),
      ) as [string, string, string, string];
      const names = hosts.map((host) => (/^[\d.]+$/.test(host) ? `IP:${host}` : `DNS:${host}`));
      await writeFile(at(`${name}.ext`), `subjectAltName=${names.join(",")}`);
      await openssl("req", ...KEY, "-subj", `/CN=${hosts[0]}`, "-keyout", key, "-out", request);
      const signed = ["-CA", file, "-CAkey", authorityKey, ...DAYS, "-extfile", at(`${name}.ext`)];
      await openssl("x509", "-req", "-in", request, ...signed, "-out", certificate);
      await openssl("x509", "-in", certificate, "-outform", "der", "-out", der);
      return { key, certificate, der };
    },
    [Symbol.asyncDispose]: () => rm(directory, { recursive: true }),
  };
}

async function openssl(...words: string[]): Promise<void> {
  const child = Bun.spawn(["openssl", ...words], { stdio: ["ignore", "ignore", "pipe"] });
  if ((await child.exited) !== 0) throw new Error(`openssl: ${await new Response(child.stderr).text()}`);
}
