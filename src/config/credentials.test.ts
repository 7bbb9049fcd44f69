import { afterEach, beforeEach, expect, test } from "bun:test";
import { chmod, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MINIMAL } from "../../test/fixtures/config-file.ts";
import { loadConfig } from "./load.ts";
import { ConfigError } from "./problems.ts";

let directory: string;
let config: string;
/** As in a unit with `LoadCredential=pg321:…/credentials`, and the directory that it names. */
let handedOver: string;
let files: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "pg321-credentials-"));
  config = join(directory, "config.toml");
  handedOver = join(directory, "run");
  files = join(directory, "credentials");
  for (const path of [handedOver, files]) await mkdir(path, { mode: 0o700 });
  const password = '\npassword = { credential = "db" }\n[[storage]]';
  await writeFile(config, MINIMAL.replace("\n[[storage]]", password), { mode: 0o600 });
});
afterEach(() => rm(directory, { recursive: true }));

async function password(credentialsDirectory?: string): Promise<string | undefined> {
  const { server } = await loadConfig(config, { env: {}, credentialsDirectory });
  return server[0]?.password?.reveal();
}

async function problem(credentialsDirectory?: string): Promise<string | undefined> {
  const error = await password(credentialsDirectory).catch((thrown: unknown) => thrown);
  if (!(error instanceof ConfigError)) throw new Error("not refused", { cause: error });
  return error.problems[0]?.message.replaceAll(directory, "").replace(/, expected a password$/, "");
}

test("in a unit a credential has its own name, or the name of a file in the loaded directory", async () => {
  await writeFile(join(files, "db"), "from the file");
  await writeFile(join(handedOver, "pg321_db"), "of the directory\n");
  expect(await password(handedOver)).toBe("of the directory");
  await writeFile(join(handedOver, "db"), "by itself");
  expect(await password(handedOver)).toBe("by itself");
});

test("outside a unit it is read from the file from which systemd would load it", async () => {
  await writeFile(join(files, "db"), "from the file\n");
  expect(await password()).toBe("from the file");
});

test("a missing credential names the places that were searched", async () => {
  expect(await problem()).toBe('credential "db" does not exist (looked for /credentials/db)');
  expect(await problem(handedOver)).toBe(
    'systemd did not pass credential "db" to the service (looked for /run/db, /run/pg321_db, /credentials/db): ' +
      "it passes credentials on only when the service starts, so put it into /credentials, then systemctl restart pg321",
  );
});

test.skipIf(process.getuid?.() !== 0)(
  "a user who may not read the directory gets the hint to use sudo (only root can test that)",
  async () => {
    await writeFile(join(files, "db"), "from the file");
    await chmod(directory, 0o755);
    await chmod(config, 0o644);
    const program =
      'import { loadConfig } from "./src/config/load.ts";\nprocess.setuid(65534);\n' +
      `loadConfig(${JSON.stringify(config)}, { env: {} }).catch((error) => console.log(error.message));`;
    const child = Bun.spawn([process.execPath, "-e", program], {
      cwd: join(import.meta.dir, "../.."),
      stdout: "pipe",
    });
    expect(await new Response(child.stdout).text()).toContain(
      `this user may not read credential "db" (${files}/db; use sudo)`,
    );
  },
);

test("bytes that are not UTF-8 are refused, and not replaced, which would give another password", async () => {
  await writeFile(join(files, "db"), Buffer.from("schl\xfcssel", "latin1"));
  expect(await problem()).toBe('credential "db" is not UTF-8 text');
});
