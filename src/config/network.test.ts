import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  ENCRYPTION,
  LOCAL,
  loadToml,
  MINIMAL,
  mistakes,
  S3,
  SERVER,
} from "../../test/fixtures/config-file.ts";
import { startAuthority } from "../../test/lab/machine/certificates.ts";
import { loadConfig, requireCertificates } from "./load.ts";

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "pg321-network-"));
});
afterAll(() => rm(directory, { recursive: true }));

const BUCKET = `${S3}provider = "generic"\nendpoint = "https://s3.lan"\n`;
const CA = 'ca_file = "/etc/pg321/ca.pem"\n';
const signal = new AbortController().signal;

describe("ca_file of a [[server]]", () => {
  const server = (lines: string) => SERVER + lines + LOCAL + ENCRYPTION;

  test("is sslrootcert, and has the certificate checked", async () => {
    const expected = { sslmode: "verify-full", sslrootcert: "/etc/pg321/ca.pem" };
    expect((await loadToml(server(CA))).server).toMatchObject([expected]);
    expect((await loadToml(server(`${CA}sslmode = "verify-ca"\n`))).server).toMatchObject([
      { ...expected, sslmode: "verify-ca" },
    ]);
    expect((await loadToml(server(`${CA}url = "postgres://u@h/d"\n`))).server).toMatchObject([
      { ...expected, host: "h" },
    ]);
    expect((await loadToml(server('ca_file = "system"\n'))).server).toMatchObject([
      { sslmode: "verify-full", sslrootcert: "system" },
    ]);
    expect((await loadToml(server('sslrootcert = "/etc/pg321/ca.pem"\n'))).server).toMatchObject([
      { ...expected, sslmode: "prefer" },
    ]);
  });

  test.each([
    ['sslmode = "prefer"\n', 'found beside sslmode "prefer", which does not check certificates'],
    ['url = "postgres://u@h/d?sslmode=disable"\n', 'found beside sslmode "disable"'],
    ['sslrootcert = "/etc/other.pem"\n', "found beside sslrootcert, expected one of them"],
    ['url = "postgres://u@h/d?sslrootcert=/etc/other.pem"\n', "found beside sslrootcert"],
  ])("is refused beside %s", async (lines, expected) => {
    expect(await mistakes(server(CA + lines))).toEqual([
      expect.stringContaining(`3 server[0].ca_file: ${expected}`),
    ]);
  });
});

test("an endpoint without TLS shows no certificate", async () => {
  const toml = `${SERVER}${BUCKET.replace("https:", "http:")}${CA}${ENCRYPTION}`;
  expect(await mistakes(toml)).toEqual([
    expect.stringContaining("storage[0].ca_file: found with an endpoint without TLS (http://)"),
  ]);
});

describe("proxies", () => {
  const toml = `${SERVER}${LOCAL}${BUCKET}${ENCRYPTION}[[notify]]\nname = "ops"\ntype = "webhook"\nurl = "https://hook.example.com"\n`;

  test("come from the environment, for each storage and notifier", async () => {
    const env = { HTTPS_PROXY: "http://u:s3cret@proxy.lan:3128", NO_PROXY: ".example.com" };
    const config = await loadToml(toml, { env });
    expect(config.storage[1]).toMatchObject({ proxy: { place: "proxy.lan:3128", variable: "HTTPS_PROXY" } });
    expect(config.storage[0]).not.toHaveProperty("proxy");
    expect(config.notify[0]?.type === "webhook" && config.notify[0].proxy).toBeUndefined();
  });

  test("with an invalid value are a mistake if they are used, and are never shown", async () => {
    const env = { HTTPS_PROXY: "socks5://u:s3cret@proxy.lan" };
    const refused = await mistakes(toml, { env });
    expect(refused).toEqual([
      expect.stringContaining('environment variable "HTTPS_PROXY", expected the URL of'),
    ]);
    expect(refused.join()).not.toContain("s3cret");
    expect((await loadToml(MINIMAL, { env })).storage).toHaveLength(1);
  });

  test("and other variables may be in the file beside the config; those of the process take precedence", async () => {
    const file = join(directory, "config.toml");
    await writeFile(file, toml.replace('"backups"', '{ env = "BUCKET" }'), { mode: 0o600 });
    const beside = join(directory, "environment");
    await writeFile(beside, "HTTPS_PROXY=http://proxy.lan:3128\nBUCKET=one\nexport X=1\n", { mode: 0o600 });
    const load = async (env: Record<string, string>) => await loadConfig(file, { env });
    const config = await load({});
    expect(config.storage[1]).toMatchObject({ bucket: "one", proxy: { place: "proxy.lan:3128" } });
    expect(config.warnings).toEqual([`${beside}:3: found no NAME=value; this line is ignored`]);
    expect((await load({ BUCKET: "two", HTTPS_PROXY: "" })).storage[1]).toMatchObject({
      bucket: "two",
      proxy: undefined,
    });
    await chmod(beside, 0o644);
    expect((await load({})).warnings[1]).toBe(
      `${beside}: everyone can read it (mode 0644), and it may hold secrets; make it 0600`,
    );
    await rm(beside);
  });
});

describe("files of certificates", () => {
  const check = async (...files: string[]) => {
    const file = join(directory, "config.toml");
    const [forServer = "", forBucket = "", forHook = ""] = files;
    const hook = `[[notify]]\nname = "ops"\ntype = "webhook"\nurl = "https://a"\nca_file = "${forHook}"\n`;
    await writeFile(
      file,
      `${SERVER}ca_file = "${forServer}"\n${BUCKET}ca_file = "${forBucket}"\n${hook}${ENCRYPTION}`,
    );
    await requireCertificates(await loadConfig(file, { env: {} }), signal);
  };

  test("that are valid are accepted, also a bundle of several", async () => {
    await using authority = await startAuthority();
    await check(authority.file, "/etc/ssl/certs/ca-certificates.crt", authority.file);
  });

  test("that are invalid are reported together, with line and key, and a hint", async () => {
    await using authority = await startAuthority();
    const { key, der } = await authority.issue("s3.lan");
    const told = await check("/nowhere/ca.pem", key, der).catch((error) => error);
    expect(told).toMatchObject({ code: "usage" });
    expect(told.problems).toEqual([
      expect.objectContaining({
        line: 3,
        path: "server[0].ca_file",
        message: "/nowhere/ca.pem: there is no such file",
      }),
      expect.objectContaining({
        line: 12,
        path: "storage[0].ca_file",
        message: `${key}: found no certificate, expected PEM (-----BEGIN CERTIFICATE-----)`,
      }),
      expect.objectContaining({
        line: 17,
        path: "notify[0].ca_file",
        message: `${der}: found a certificate in DER, expected PEM (-----BEGIN CERTIFICATE-----)`,
      }),
    ]);
    await expect(check(authority.file, authority.file, der)).rejects.toMatchObject({
      hint: `convert it: openssl x509 -inform der -in ${der} -out ${der.replace(/der$/, "pem")}`,
    });
    await expect(check("/dev/zero", "/etc", authority.file)).rejects.toMatchObject({
      problems: [
        expect.objectContaining({ message: "/dev/zero: found no regular file" }),
        expect.objectContaining({ message: "/etc: found no regular file" }),
      ],
    });
  });
});
