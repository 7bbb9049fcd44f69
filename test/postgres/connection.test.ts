import { describe, expect, test } from "bun:test";
import { chmodSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Secret } from "../../src/base/secret.ts";
import type { ServerConfig } from "../../src/config/config.ts";
import type { Endpoint } from "../../src/postgres/connection.ts";
import { connect, endpointOf, endpointOfUrl } from "../../src/postgres/connection.ts";
import { loadToml, MINIMAL, SERVER } from "../fixtures/config-file.ts";
import { startAuthority } from "../lab/machine/certificates.ts";
import { startPostgres } from "../lab/servers/postgres.ts";
import { usePostgres } from "../lab/servers/use-postgres.ts";
import { dumpToMemory } from "./dumping.ts";
import { useTempDir } from "./temp-dir.ts";

const lab = usePostgres();
const temp = useTempDir();

/** Connects in both ways, one after the other: with the package, then with libpq. */
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

describe("connections", () => {
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
      message: "target: the password contains a line break or a NUL",
    });
  });
});

test("a password in ~/.pgpass is used both ways", async () => {
  const home = mkdtempSync(join(temp.path, "home-"));
  const { user, password, port } = lab.address;
  const path = join(home, ".pgpass");
  await Bun.write(path, `127.0.0.1:${port}:postgres:${user}:${password}\n`);
  const code = `
    const { connect, endpointOfUrl } = await import("${join(import.meta.dir, "../../src/postgres/connection.ts")}");
    const { dumpToMemory } = await import("${join(import.meta.dir, "dumping.ts")}");
    const endpoint = endpointOfUrl("postgres://${user}@127.0.0.1:${port}/postgres");
    await using connection = await connect(endpoint);
    await dumpToMemory(endpoint, ${JSON.stringify(temp.path)});
    console.log("in");`;
  const run = () =>
    Bun.spawnSync([process.execPath, "-e", code], { env: { HOME: home, PATH: "/usr/bin:/bin" } });
  chmodSync(path, 0o644);
  expect(run().stderr.toString()).toContain("password");
  chmodSync(path, 0o600);
  const { stdout, stderr } = run();
  expect(stderr.toString()).toBe("");
  expect(stdout.toString()).toBe("in\n");
  rmSync(home, { recursive: true });
});

test("timeouts of a role and of a database do not end our own queries", async () => {
  const admin = lab.connect();
  const role = `hasty_${crypto.randomUUID().slice(0, 8)}`;
  const database = await lab.createDatabase();
  await admin.unsafe(`create role ${role} superuser login password 'x'`);
  try {
    await admin.unsafe(`alter role ${role} set statement_timeout = '20ms'`);
    await admin.unsafe(`alter role ${role} set idle_in_transaction_session_timeout = '20ms'`);
    await admin.unsafe(`alter database ${database} set idle_session_timeout = '20ms'`);
    await using connection = await connect(local({ user: role, password: new Secret("x"), database }));
    const [row] = await connection.run(
      "ask",
      (sql) => sql<[{ a: string; b: string; c: string }]>`
        select current_setting('statement_timeout') as a, current_setting('idle_session_timeout') as b,
          current_setting('idle_in_transaction_session_timeout') as c from pg_sleep(0.1)`,
    );
    expect(row).toEqual({ a: "0", b: "0", c: "0" });
  } finally {
    await admin.unsafe(`drop role ${role}`);
  }
});

describe("the server's additions to an error are kept", () => {
  test("its detail and its hint", async () => {
    const database = await lab.createDatabase();
    await using connection = await connect(local({ database }));
    const ask = (statement: string) => connection.run("ask", (sql) => sql.unsafe(statement).simple());
    await ask("create table public.t (i int); create view public.v as select * from public.t");
    await expect(ask("drop table public.t")).rejects.toMatchObject({
      message:
        "target: cannot ask: cannot drop table public.t because other objects depend on it (view public.v depends on table public.t)",
      hint: "use DROP ... CASCADE to drop the dependent objects too",
    });
  });

  test("the hint for an invalid database is to drop it", async () => {
    const database = await lab.createDatabase();
    const admin = lab.connect();
    await admin.unsafe(`update pg_database set datconnlimit = -2 where datname = '${database}'`);
    for (const error of await bothWays(local({ database })))
      expect(error).toMatchObject({
        message: expect.stringContaining("invalid database"),
        hint: expect.stringMatching(
          /use DROP DATABASE to drop invalid databases; it holds nothing to back up/,
        ),
      });
  });

  test("a foreign server that does not answer is not mistaken for the server itself", async () => {
    const database = await lab.createDatabase();
    const sql = lab.connect(database);
    await sql
      .unsafe(
        `create extension postgres_fdw;
         create server far foreign data wrapper postgres_fdw options (host '127.0.0.1', port '1', dbname 'x');
         create user mapping for current_user server far;
         create foreign table distant (i int) server far;
         create materialized view seen as select * from distant with no data`,
      )
      .simple();
    await using connection = await connect(local({ database }));
    const error = await connection
      .run("ask", (sql) => sql`select * from public.distant`)
      .catch((reason: unknown) => reason);
    const told = { code: "database", hint: expect.stringContaining("a foreign server") };
    expect(error).toMatchObject({ ...told, message: expect.stringContaining("Connection refused") });
  });
});

describe("refusals have a code and a hint, and contain no secret", () => {
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

  test("a lost session is not silently replaced", async () => {
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

  test("no password file is left", () => {
    expect(readdirSync(temp.path)).toEqual([]);
  });
});

test.each([
  ["mysql://u:s3cret@h/d", "not a PostgreSQL URL"],
  ["postgres://u:s3cret@h/d?sslmod=x", 'unknown parameter "sslmod"'],
  ["postgres://u:s3cret@h/d?sslmode=always", 'unknown sslmode "always"'],
  ["postgres://u:s3cret@a,b/d", "exactly one host"],
  ["postgres://u:s3cret%zz@h/d", "percent sign"],
  ["postgres://u:s3cret@h/%zz", "percent sign"],
  ["postgres://u:s3cret@h/d?port=abc", "the port in the URL"],
  ["postgres://u:s3cret@h:0/d", "the port in the URL"],
  ["postgres://u:s3cret@h/d?connect_timeout=-5", "connect_timeout"],
  ["postgres://u:s3cret@h", "the URL names no database"],
  ["postgres://u:s3cret@h:5432/?sslmode=disable", "the URL names no database"],
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

test("TLS: each mode makes the checks of its name", async () => {
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

test("TLS: a private authority is trusted once ca_file names it, and a file that holds none is told", async () => {
  await using authority = await startAuthority();
  const { key, certificate } = await authority.issue("localhost");
  const files = {
    "server.key": await Bun.file(key).text(),
    "server.crt": await Bun.file(certificate).text(),
  };
  await using server = await startPostgres({ settings: ["ssl = on"], files });
  const { user, password, port } = server.address;
  const through = async (lines: string) => {
    const single = `host = "localhost"\nport = ${port}\nuser = "${user}"\npassword = "${password}"\n`;
    const config = await loadToml(MINIMAL.replace(SERVER, `${SERVER}${single}${lines}\n`));
    return bothWays(endpointOf(config.server[0] as ServerConfig));
  };
  expect(await through(`ca_file = "${authority.file}"`)).toEqual(["in", "in"]);
  const untrusted = {
    code: "database",
    message: expect.stringMatching(/certificate/),
    hint: expect.stringContaining("ca_file"),
  };
  expect(await through('ca_file = "/etc/ssl/certs/ca-certificates.crt"')).toEqual([
    expect.objectContaining(untrusted),
    expect.objectContaining(untrusted),
  ]);
  const [error] = await through(`ca_file = "${key}"`);
  expect(error).toMatchObject({
    code: "database",
    message: `server "main": the certificates in ${key}: found no certificate, expected PEM (-----BEGIN CERTIFICATE-----)`,
  });
  const [missing] = await through('ca_file = "/nowhere/ca.pem"');
  expect(missing).toMatchObject({
    message: 'server "main": the certificates in /nowhere/ca.pem: there is no such file',
  });
});
