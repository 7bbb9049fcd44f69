import { describe, expect, test } from "bun:test";
import { mkdtempSync, readdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Secret } from "../../src/base/secret.ts";
import type { Endpoint } from "../../src/postgres/connection.ts";
import { connect, endpointOfUrl } from "../../src/postgres/connection.ts";
import { startPostgres } from "../lab/postgres.ts";
import { usePostgres } from "../lab/use-postgres.ts";
import { dumpToMemory } from "./dumping.ts";
import { useTempDir } from "./temp-dir.ts";

const lab = usePostgres();
const temp = useTempDir();

/** Both ways in, as they are used one after the other: the package's, then libpq's. */
async function bothWays(endpoint: Endpoint): Promise<unknown[]> {
  return Promise.all(
    [
      connect(endpoint).then((connection) => connection[Symbol.asyncDispose]()),
      dumpToMemory(endpoint, temp.path),
    ].map((way) =>
      way.then(
        () => "in",
        (error: unknown) => error,
      ),
    ),
  );
}

const local = (change: Partial<Endpoint> = {}): Endpoint => ({
  ...endpointOfUrl(lab.url("postgres")),
  ...change,
});

describe("ways in", () => {
  test("over TCP", async () => {
    expect(await bothWays(local())).toEqual(["in", "in"]);
  });

  test("over a socket's directory", async () => {
    expect(await bothWays(local({ host: lab.address.socket_dir, sslmode: "require" }))).toEqual(["in", "in"]);
    const { user, password, socket_dir, port } = lab.address;
    const url = `postgresql://${user}:${password}@/postgres?host=${encodeURIComponent(socket_dir)}&port=${port}`;
    expect(await bothWays(endpointOfUrl(url))).toEqual(["in", "in"]);
  });

  test.each([String.raw`back\slash:colon`, `quo'te "x" #%&=`, "größe 数", " ends with space ", "*:*"])(
    "with the password %s",
    async (password) => {
      const role = `role_${crypto.randomUUID().slice(0, 8)}`;
      const admin = lab.connect();
      await admin.unsafe(`create role ${role} superuser login password '${password.replaceAll("'", "''")}'`);
      try {
        expect(await bothWays(local({ user: role, password: new Secret(password) }))).toEqual(["in", "in"]);
      } finally {
        await admin.unsafe(`drop role ${role}`);
      }
    },
  );

  test("a password that a password file cannot hold is refused", async () => {
    const [, dump] = await bothWays(local({ password: new Secret("a\nb") }));
    expect(dump).toMatchObject({
      code: "usage",
      message: "target: the password holds a line break or a NUL",
    });
  });
});

describe("refusals have a code and a hint, and hold no secret", () => {
  const refusals: [string, () => Partial<Endpoint>, RegExp, RegExp][] = [
    [
      "wrong password",
      () => ({ password: new Secret("wr0ng-secret") }),
      /password authentication failed/,
      /password/,
    ],
    ["no password", () => ({ password: undefined }), /password/, /password/],
    [
      "unknown role",
      () => ({ user: "nobody_here" }),
      /authentication failed for user "nobody_here"/,
      /password/,
    ],
    [
      "unknown database",
      () => ({ database: "gone 'x'" }),
      /database "gone 'x'" does not exist/,
      /name of the database/,
    ],
    ["nothing listens", () => ({ port: 1 }), /refused/i, /listens/],
    ["no socket", () => ({ host: tmpdir(), port: 1 }), /No such file|ENOENT/i, /listens/],
    ["unknown host", () => ({ host: "no-such-host.invalid" }), /no-such-host\.invalid/, /host/],
    ["no TLS there", () => ({ sslmode: "require" }), /SSL|TLS/i, /sslmode/],
  ];
  test.each(refusals)("%s", async (_, change, message, hint) => {
    for (const error of await bothWays(local(change()))) {
      expect(error).toMatchObject({
        code: "database",
        message: expect.stringMatching(message),
        hint: expect.stringMatching(hint),
      });
      const shown = `${Bun.inspect(error)} ${JSON.stringify(error)}`;
      expect(shown).not.toContain(lab.address.password);
      expect(shown).not.toContain("wr0ng-secret");
    }
  });

  test.each(["at once", "at the first byte"])(
    "a server that closes the connection %s is asked once",
    async (when) => {
      let taken = 0;
      const socket = {
        open(client: { end(): unknown }) {
          taken++;
          if (when === "at once") client.end();
        },
        data: (client: { end(): unknown }) => void client.end(),
      };
      const server = Bun.listen({ hostname: "127.0.0.1", port: 0, socket });
      try {
        const error = await connect(local({ port: server.port })).catch((reason: unknown) => reason);
        expect(error).toMatchObject({
          code: "database",
          message: expect.stringContaining("closed the connection"),
          retryable: true,
        });
        expect(taken).toBe(1);
      } finally {
        server.stop(true);
      }
    },
  );

  test("a session that was lost is not silently another one", async () => {
    await using connection = await connect(local());
    const admin = lab.connect();
    const [mine] = await connection.run(
      "ask",
      (sql) => sql<[{ pid: number }]>`select pg_backend_pid() as pid`,
    );
    await admin`select pg_terminate_backend(${mine?.pid as number}, 10000)`;
    const ask = () => connection.run("ask", (sql) => sql`select 1`);
    await expect(ask()).rejects.toMatchObject({ code: "database" });
    await expect(ask()).rejects.toMatchObject({ code: "database" });
  });

  test("nothing is left of the password's file", () => {
    expect(readdirSync(temp.path)).toEqual([]);
  });
});

test.each([
  ["mysql://u:s3cret@h/d", "not a PostgreSQL URL"],
  ["postgres://u:s3cret@h/d?sslmod=x", 'unknown parameter "sslmod"'],
  ["postgres://u:s3cret@h/d?sslmode=always", 'unknown sslmode "always"'],
  ["postgres://u:s3cret@a,b/d", "one host"],
  ["postgres://u:s3cret%zz@h/d", "percent sign"],
  ["postgres://u:s3cret@h/%zz", "percent sign"],
  ["postgres://u:s3cret@h/d?port=abc", "no port"],
  ["postgres://u:s3cret@h:0/d", "no port"],
  ["postgres://u:s3cret@h/d?connect_timeout=-5", "connect_timeout"],
])("the URL %s is refused without being shown", (url, message) => {
  expect(() => endpointOfUrl(url)).toThrow(message);
  expect(() => endpointOfUrl(url)).not.toThrow("s3cret");
});

test("a URL's parts are decoded", () => {
  const endpoint = endpointOfUrl(
    "postgres://us%40er:p%3Aw%2F@[::1]:6543/da%2Fta%20base?sslmode=verify-full&connect_timeout=3",
  );
  expect(endpoint).toMatchObject({ user: "us@er", host: "::1", port: 6543, database: "da/ta base" });
  expect(endpoint).toMatchObject({ sslmode: "verify-full", connect_timeout_ms: 3000 });
  expect(endpoint.password?.reveal()).toBe("p:w/");
});

test("TLS: each mode checks what it says", async () => {
  const dir = mkdtempSync(join(temp.path, "tls-"));
  const [key, certificate] = [join(dir, "key.pem"), join(dir, "certificate.pem")];
  const openssl = Bun.spawnSync(
    ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"].concat(
      ["-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"],
      ["-keyout", key, "-out", certificate],
    ),
  );
  expect(openssl.success).toBe(true);
  const files = {
    "server.key": await Bun.file(key).text(),
    "server.crt": await Bun.file(certificate).text(),
  };
  await using server = await startPostgres({ settings: ["ssl = on"], files });
  const { user, password, port } = server.address;
  const through = (host: string, sslmode: Endpoint["sslmode"], sslrootcert?: string) =>
    bothWays({
      ...endpointOfUrl(`postgres://${user}:${password}@${host}:${port}/postgres`),
      sslmode,
      sslrootcert,
    });

  for (const mode of ["disable", "prefer", "require"] as const) {
    expect(await through("127.0.0.1", mode)).toEqual(["in", "in"]);
  }
  expect(await through("127.0.0.1", "verify-ca", certificate)).toEqual(["in", "in"]);
  expect(await through("localhost", "verify-full", certificate)).toEqual(["in", "in"]);
  const refused = { code: "database", hint: expect.stringContaining("certificate") };
  expect(await through("127.0.0.1", "verify-full", certificate)).toEqual([
    expect.objectContaining(refused),
    expect.objectContaining(refused),
  ]);
  const other = join(dir, "other.pem");
  await Bun.write(other, await Bun.file("/etc/ssl/certs/ca-certificates.crt").text());
  expect(await through("localhost", "verify-ca", other)).toEqual([
    expect.objectContaining(refused),
    expect.objectContaining(refused),
  ]);
});
