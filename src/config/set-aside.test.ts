import { expect, test } from "bun:test";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MINIMAL, refusal, S3 } from "../../test/fixtures/config-file.ts";
import type { Config } from "./config.ts";
import { loadConfig } from "./load.ts";
import { ConfigError } from "./problems.ts";
import { requireUsableServer, unusableText } from "./set-aside.ts";

async function loadAside(toml: string): Promise<Config> {
  const directory = await mkdtemp(join(tmpdir(), "pg321-set-aside-"));
  try {
    const file = join(directory, "config.toml");
    await writeFile(file, toml);
    return await loadConfig(file, { env: {}, credentialFiles: "/etc/nowhere" }, { setsAside: true });
  } finally {
    await rm(directory, { recursive: true });
  }
}

const LOST = S3.replace(
  'secret_access_key = "SK"',
  'secret_access_key = { credential = "lost" }\nprovider = "aws"\nregion = "eu-central-1"',
);
const texts = ({ unusable }: Config) => unusable.map(unusableText);

test("a valid config has no unusable table", async () => {
  expect((await loadAside(MINIMAL)).unusable).toEqual([]);
});

test("a storage whose credential is missing stays in the config, with the reason", async () => {
  const config = await loadAside(MINIMAL + LOST);
  expect(texts(config)).toEqual([
    'storage "bucket" is not usable: secret_access_key: credential "lost" does not exist (looked for /etc/nowhere/lost)',
  ]);
  expect(config.storage.map(({ name }) => name)).toEqual(["disk", "bucket"]);
  expect((await refusal(MINIMAL + LOST)).problems.length).toBe(1);
});

test("two storages whose bucket names are missing do not count as one place", async () => {
  const nameless = (name: string) =>
    LOST.replace('"bucket"', `"${name}"`).replace('bucket = "backups"', 'bucket = { env = "BUCKET" }');
  const config = await loadAside(MINIMAL + nameless("one") + nameless("two"));
  expect(config.unusable.map(({ name }) => name)).toEqual(["one", "two"]);
  expect(texts(config)[0]).toContain('bucket: environment variable "BUCKET" is not set; secret_access_key: ');
});

test("a server is kept and refused, a notifier, [http] and the passphrase are left out", async () => {
  const config = await loadAside(
    [
      MINIMAL.replace('name = "main"', 'name = "main"\npassword = { credential = "db" }').replace(
        "[encryption]",
        '[encryption]\nidentity_file = "/etc/id"\nidentity_passphrase = { credential = "phrase" }',
      ),
      '[[notify]]\nname = "ops"\ntype = "webhook"\nurl = { credential = "hook" }',
      '[http]\ntoken = { credential = "token" }',
    ].join("\n"),
  );
  expect(config.unusable.map(({ kind, name }) => `${kind} ${name}`)).toEqual([
    "server main",
    "notify ops",
    "http http",
    "encryption encryption",
  ]);
  expect(config.notify).toEqual([]);
  expect(config.http.token).toBeUndefined();
  expect(config.encryption.identity_passphrase).toBeUndefined();
  expect(() => requireUsableServer(config, "main")).toThrow('server "main" is not usable: password: ');
  expect(() => requireUsableServer(config, "other")).not.toThrow();
});

test("any other mistake is still reported, and so is any other missing value", async () => {
  const mistakes = async (toml: string) => {
    const error = await loadAside(toml).catch((thrown: unknown) => thrown);
    if (!(error instanceof ConfigError)) throw new Error("not refused", { cause: error });
    return error.problems.map(({ path }) => path);
  };
  expect(await mistakes(`typo = 1\n${MINIMAL}${LOST}`)).toEqual(["typo", "storage[1].secret_access_key"]);
  expect(await mistakes(`timezone = { env = "ZONE" }\n${MINIMAL}`)).toEqual(["timezone"]);
  expect(await mistakes(MINIMAL + LOST.replace('"s3"', '{ env = "TYPE" }'))).toContain("storage[1].type");
});
