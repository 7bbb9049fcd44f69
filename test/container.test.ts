import { expect, test } from "bun:test";
import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { YAML } from "bun";
import { validate } from "dockerfile-utils";
import { runProgram } from "./lab/installation.ts";

const DIRECTORY = join(import.meta.dir, "../contrib/container");
const textOf = (name: string) => Bun.file(join(DIRECTORY, name)).text();
const USER = "10321";

test("the Containerfile has no mistake, and runs as a fixed user with its state on a volume", async () => {
  const file = await textOf("Containerfile");
  expect(validate(file)).toEqual([]);
  expect(file).toMatch(new RegExp(`^USER ${USER}:${USER}$`, "m"));
  expect(file).toContain(`useradd --uid ${USER} `);
  expect(file).toMatch(/^VOLUME .*"\/var\/lib\/pg321"/m);
  expect(file).toMatch(/^HEALTHCHECK [^\n]*\\\n[^\n]*\/health"\]$/m);
});

test("compose and Kubernetes use that user, those volumes, and the paths of the example config", async () => {
  const compose = YAML.parse(await textOf("compose.yaml")) as {
    services: { pg321: { volumes: string[]; secrets: string[] } };
  };
  const { volumes, secrets } = compose.services.pg321;
  const config = await textOf("config.toml");
  const mounted = volumes.map((volume) => volume.split(":")[1]);
  expect(mounted).toEqual(["/etc/pg321/config.toml", "/var/lib/pg321", "/var/backups/pg321"]);
  for (const secret of secrets) expect(config).toContain(`"/run/secrets/${secret}"`);
  const kubernetes = await textOf("kubernetes.yaml");
  const stateful = YAML.parse(kubernetes) as {
    spec: { template: { spec: { securityContext: Record<string, unknown> } } };
  };
  const { runAsUser, fsGroup } = stateful.spec.template.spec.securityContext;
  expect([runAsUser, fsGroup].map(String)).toEqual([USER, USER]);
});

test("the example config is valid once its recipient is filled in", async () => {
  const directory = await mkdtemp(join(tmpdir(), "pg321-container-"));
  try {
    const keys = [
      "--identity",
      join(directory, "identity.txt"),
      "--signing-key",
      join(directory, "signing.key"),
    ];
    const { json } = await runProgram(["key", "generate", ...keys, "--json"], {});
    const text = (await textOf("config.toml"))
      .replace("age1…", json.recipient)
      .replaceAll(/"\/(run\/secrets|var\/lib\/pg321|var\/backups\/pg321)/g, `"${directory}`);
    const file = join(directory, "config.toml");
    await Bun.write(file, text);
    await Bun.write(join(directory, "pg321-password"), "secret");
    await chmod(join(directory, "pg321-password"), 0o600);
    expect(await runProgram(["check", "--offline"], { PG321_CONFIG: file })).toMatchObject({ exitCode: 0 });
  } finally {
    await rm(directory, { recursive: true });
  }
});
