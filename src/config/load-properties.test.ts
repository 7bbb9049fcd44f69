import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inspect } from "node:util";
import fc from "fast-check";
import { stringify } from "smol-toml";
import type { Config } from "./config.ts";
import { describeConfig } from "./describe.ts";
import { loadConfig } from "./load.ts";
import { ConfigError } from "./problems.ts";
import type { ValueSource } from "./schema/values.ts";

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "pg321-config-"));
});
afterAll(() => rm(directory, { recursive: true }));

/** The config or its mistakes. Any other error fails the test. */
async function outcome(toml: string, source: ValueSource): Promise<Config | ConfigError> {
  const file = join(directory, "config.toml");
  await writeFile(file, toml);
  try {
    return await loadConfig(file, source);
  } catch (error) {
    if (error instanceof ConfigError) return error;
    throw error;
  }
}

type Document = Record<string, unknown>;

const sound = (): Document => ({
  timezone: "UTC",
  server: [
    { name: "main", host: "h", port: 5432, password: "x", databases: ["a"] },
    { name: "two", url: "postgres://h" },
  ],
  storage: [
    { name: "disk", type: "local", path: "/srv", keep: { days: 400, weekly: 4 } },
    {
      name: "s3",
      type: "s3",
      provider: "aws",
      region: "eu-central-1",
      bucket: "backups",
      access_key_id: "x",
      secret_access_key: "x",
      session_token: "x",
      expire: { archive_to: "disk" },
    },
  ],
  encryption: {
    recipients: ["age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj"],
    identity_file: "/i",
    identity_passphrase: "x",
  },
  compression: { algorithm: "zstd", level: 3 },
  catalog: { type: "sqlite" },
  fleet: { host: "web1", workers: "any" },
  dump: { nice: 5, max_duration: "5h" },
  guard: { stale_after: "5d" },
  rule: { copies: 2, restore_test_max_age: "5d" },
  cleanup: { temp_max_age: "5h", tombstones: "0" },
});

/** Every path of a document, tables and items included. */
function paths(node: unknown, path: string[] = []): string[][] {
  if (typeof node !== "object" || node === null) return [path];
  return [path, ...Object.entries(node).flatMap(([key, item]) => paths(item, [...path, key]))];
}
const PATHS = paths(sound()).filter((path) => path.length > 0);
const SECRET_PATHS = [
  ["server", "0", "password"],
  ["storage", "1", "access_key_id"],
  ["storage", "1", "secret_access_key"],
  ["storage", "1", "session_token"],
  ["encryption", "identity_passphrase"],
];

function put(document: Document, path: readonly string[], value: unknown): void {
  const parent = path
    .slice(0, -1)
    .reduce<unknown>((node, key) => (node as Document | undefined)?.[key], document);
  const key = path.at(-1) ?? "";
  if (Array.isArray(parent) && !Object.hasOwn(parent, key)) parent.push(value);
  else if (typeof parent === "object" && parent !== null) (parent as Document)[key] = value;
}

const anything = fc.oneof(
  fc.string(),
  fc.integer(),
  fc.double(),
  fc.boolean(),
  fc.constantFrom("", "0", "-1", "5m", "1GiB", "/", "*", "age", "s3", "local", "postgres://u@h", "http://h"),
  fc.constantFrom(
    {},
    { env: "X" },
    { env: "SECRET" },
    { file: "/nowhere" },
    { credential: "x", default: 5 },
    { env: 5 },
  ),
  fc.array(fc.oneof(fc.string(), fc.integer()), { maxLength: 3 }),
  fc.dictionary(fc.string(), fc.oneof(fc.string(), fc.integer()), { maxKeys: 3 }),
);
const mutations = fc.array(
  fc.record({
    path: fc.oneof(
      fc.constantFrom(...PATHS),
      fc.tuple(fc.constantFrom(...PATHS), fc.string()).map(([path, key]) => [...path, key]),
    ),
    value: anything,
  }),
  { maxLength: 4 },
);

describe("any file", () => {
  test("the valid document is valid", async () => {
    expect(await outcome(stringify(sound()), { env: {} })).not.toBeInstanceOf(ConfigError);
  });

  test("random text gives a ConfigError", async () => {
    const word = fc.oneof(
      fc.string(),
      fc.constantFrom("[server]", "[[server]]", "name = ", '"""', "\n", "{", "[", "= 1"),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(word), async (words) => {
        const toml = words.join("");
        expect(await outcome(toml, { env: {} })).toBeInstanceOf(ConfigError);
      }),
      { numRuns: 200 },
    );
  });

  test("a changed document gives a config or a ConfigError, each mistake at a line of the file", async () => {
    await fc.assert(
      fc.asyncProperty(mutations, async (changes) => {
        const document = sound();
        for (const { path, value } of changes) put(document, path, structuredClone(value));
        const toml = stringify(document);
        const result = await outcome(toml, { env: { X: "1" } });
        if (!(result instanceof ConfigError)) return;
        expect(result.problems.length).toBeGreaterThan(0);
        const lines = toml.split("\n").length;
        for (const { line, message } of result.problems) {
          expect(line === undefined || (line >= 1 && line <= lines)).toBe(true);
          expect(message).not.toMatch(/Invalid|undefined|\[object/);
        }
      }),
      { numRuns: 500 },
    );
  });

  test("an unknown key is never accepted", async () => {
    const tables = PATHS.filter((path) =>
      [
        "0",
        "1",
        "keep",
        "encryption",
        "compression",
        "catalog",
        "fleet",
        "dump",
        "expire",
        "guard",
        "rule",
        "cleanup",
      ].includes(path.at(-1) ?? ""),
    );
    const at = fc.constantFrom(
      [],
      ...tables.filter((path) => path[2] !== "databases" && path[1] !== "recipients"),
    );
    await fc.assert(
      fc.asyncProperty(at, fc.string({ minLength: 1 }), async (path, name) => {
        const document = sound();
        // No key has this prefix, so a random name is never a real key.
        put(document, [...path, `?${name}`], 1);
        const result = await outcome(stringify(document), { env: {} });
        expect(result).toBeInstanceOf(ConfigError);
        expect((result as ConfigError).problems).toHaveLength(1);
        expect((result as ConfigError).problems[0]?.message).toStartWith("not a key of ");
      }),
      { numRuns: 100 },
    );
  });
});

describe("no secret is shown", () => {
  // Long and odd enough not to appear anywhere by accident.
  const secretText = fc
    .array(fc.constantFrom(..."abcXYZ019+/=-_.:@#%&'\"\\ {}[]$"), { minLength: 12, maxLength: 40 })
    .map((signs) => `q${signs.join("")}q`);
  const writers = fc.constantFrom<(secret: string) => unknown>(
    (secret) => secret,
    (secret) => ({ env: "NOPE", default: secret }),
    () => ({ env: "SECRET" }),
    () => ({ file: join(directory, "secret") }),
    () => ({ credential: "secret" }),
    // A mistake: an array, a table, an unknown key.
    (secret) => [secret],
    (secret) => ({ value: secret }),
  );
  const places = fc.oneof(
    fc.constantFrom(...SECRET_PATHS),
    fc.constantFrom(["server", "0", "pasword"], ["secret"]),
  );
  const outside = fc.constantFrom(
    ["server", "0", "port"],
    ["server", "0", "databases"],
    ["server", "1", "url"],
    ["storage", "1", "bucket"],
    ["storage", "1", "region"],
    ["storage", "1", "provider"],
    ["storage", "0", "type"],
    ["storage", "0", "name"],
    ["storage", "0", "min_free"],
    ["encryption", "recipients"],
    ["compression", "algorithm"],
  );

  test("in messages, hints, warnings, or a printed config", async () => {
    await fc.assert(
      fc.asyncProperty(
        secretText,
        places,
        writers,
        mutations,
        fc.option(outside),
        async (secret, place, write, changes, misplaced) => {
          await writeFile(join(directory, "secret"), secret);
          const document = sound();
          for (const { path, value } of changes) put(document, path, structuredClone(value));
          put(document, place, write(secret));
          const source = { env: { SECRET: secret, X: "1" }, credentialsDirectory: directory };
          // A secret variable at the wrong key is not shown in a message either.
          if (misplaced !== null) put(document, misplaced, { env: "SECRET" });
          // A database may have the same name as the secret: then the printed config does contain it.
          const isElsewhere = misplaced !== null || JSON.stringify(changes).includes('"SECRET"');
          const result = await outcome(stringify(document), source);
          const shown =
            result instanceof ConfigError
              ? [
                  result.message,
                  result.hint,
                  inspect(result, { depth: 9 }),
                  JSON.stringify(result.problems),
                ].join("\n")
              : [
                  result.warnings.join("\n"),
                  isElsewhere ? "" : JSON.stringify([result, describeConfig(result)]) + inspect(result),
                ].join("\n");
          expect(shown).not.toContain(secret);
          expect(shown).not.toContain(JSON.stringify(secret).slice(1, -1));
        },
      ),
      { numRuns: 500 },
    );
  });

  test("if a URL with a password is invalid", async () => {
    const endings = fc.constantFrom(
      "@h",
      "@h:x",
      "@h/db?sslmode=x",
      "@h?password=",
      "",
      "@h1,h2",
      "@/db",
      "@h#",
      "%",
    );
    await fc.assert(
      fc.asyncProperty(
        secretText,
        endings,
        fc.constantFrom("url", "host", "user", "ulr"),
        async (secret, ending, key) => {
          const document = sound();
          put(document, ["server", "1", key], `postgres://u:${secret}${ending}`);
          if (key === "user") put(document, ["server", "1", "port"], "x");
          const result = await outcome(stringify(document), { env: {} });
          const shown = result instanceof ConfigError ? result.message : JSON.stringify(result);
          expect(shown).not.toContain(secret);
        },
      ),
      { numRuns: 200 },
    );
  });
});
