import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MINIMAL } from "../../../test/fixtures/config-file.ts";
import { loadConfig } from "../../config/load.ts";
import { filesOfUnit, hostFiles, variablesOf } from "./list.ts";

let directory = "";
const at = (name: string) => join(directory, name);
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "pg321-host-files-"));
});
afterAll(() => rm(directory, { recursive: true }));

test("the list has every file that the config names, the whole directory of credentials, and each file once", async () => {
  await mkdir(at("credentials/old"), { recursive: true });
  for (const name of ["named", "of-a-drop-in"]) await writeFile(at(`credentials/${name}`), "secret");
  await writeFile(at("environment"), "HTTPS_PROXY=http://proxy.lan:3128\n");
  const server = [
    'name = "main"',
    'password = { credential = "named" }',
    `user = { file = "${at("user")}", default = "pg321" }`,
    `sslrootcert = "${at("ca.pem")}"`,
    `sslcert = "${at("ca.pem")}"`,
    `sslkey = "${at("user")}"`,
  ].join("\n");
  const toml = [
    MINIMAL.replace('name = "main"', server).replace(
      "[encryption]",
      `[encryption]\nidentity_file = "${at("identity.txt")}"\nsigning_key_file = "${at("signing.key")}"`,
    ),
    '[[notify]]\nname = "ops"\ntype = "webhook"\nurl = { credential = "lost" }\nsecret = { env = "HOOK_SECRET" }',
  ].join("\n");
  await writeFile(at("config.toml"), `state_dir = "${directory}"\n${toml}`);
  const config = await loadConfig(at("config.toml"), { env: {} }, { setsAside: true });
  const files = await hostFiles(config);
  expect(files.map(({ role, path }) => `${role}: ${path.slice(directory.length + 1)}`)).toEqual([
    "config: config.toml",
    "value of the config: user",
    "certificate: ca.pem",
    "credential: credentials/named",
    "credential: credentials/lost",
    "credential: credentials/of-a-drop-in",
    "credential: environment",
    "identity: identity.txt",
    "signing key: signing.key",
  ]);
  expect(new Set(files.map(({ mode }) => mode))).toEqual(new Set([0o600]));
  expect(await variablesOf(config)).toEqual(["HOOK_SECRET"]);
});

test("the list has the unit's drop-ins and the files they load, but not the drop-in that install writes", async () => {
  const unit = at("pg321.service.d");
  await mkdir(join(unit, "more"), { recursive: true });
  await writeFile(join(unit, "more/one"), "1");
  await writeFile(join(unit, "storages.conf"), "[Service]\n");
  await writeFile(
    join(unit, "override.conf"),
    [
      "[Service]",
      "LoadCredential=main:/root/main-password",
      `LoadCredential=more:${join(unit, "more")}`,
      "LoadCredentialEncrypted=tpm:/etc/credstore.encrypted/tpm",
      "EnvironmentFile=-/etc/default/pg321",
      "Environment=BUCKET=b",
    ].join("\n"),
  );
  expect(await filesOfUnit(unit)).toEqual({
    dropIns: [join(unit, "override.conf")],
    credentialFiles: ["/root/main-password", "/etc/default/pg321", join(unit, "more/one")],
  });
  expect(await filesOfUnit(at("none"))).toEqual({ dropIns: [], credentialFiles: [] });
});
