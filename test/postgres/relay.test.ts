import { expect, setDefaultTimeout, test } from "bun:test";
import { readdirSync } from "node:fs";
import { connect, endpointOfUrl } from "../../src/postgres/connection.ts";
import { openRelay, QueryRewriter } from "../../src/postgres/restore/relay.ts";
import { startPostgres } from "../lab/servers/postgres.ts";
import { usePostgres } from "../lab/servers/use-postgres.ts";
import { dumpToMemory, restoreDump } from "./dumping.ts";
import { useTempDir } from "./temp-dir.ts";

setDefaultTimeout(60_000);
const lab = usePostgres();
const temp = useTempDir();
const UNKNOWN = "SET transaction_timeout = 0;\n";

test("that one statement passes, any other unknown statement fails", async () => {
  await using relay = await openRelay(endpointOfUrl(lab.url("postgres")), temp.path);
  await using connection = await connect(relay.endpoint);
  const ask = (statement: string) => connection.run("ask", (sql) => sql.unsafe(statement).simple());
  await ask(UNKNOWN);
  for (const refused of [
    "SET transaction_timeout = 1;",
    "SET transaction_timeout = 0; select 1",
    "SET other_timeout = 0;",
  ])
    await expect(ask(refused)).rejects.toThrow("unrecognized configuration parameter");
});

test("a dump passes unchanged, even if it contains the statement", async () => {
  const [source, target] = [await lab.createDatabase(), await lab.createDatabase()];
  const sql = lab.connect(source);
  await sql
    .unsafe(
      `create table t as select i, repeat(md5(i::text), 20) || E'\\nSET transaction_timeout = 0;\\n' as text
         from generate_series(1, 20000) i;
       create table q as select 'SET transaction_timeout = 0;' as text`,
    )
    .simple();
  const dump = await dumpToMemory(endpointOfUrl(lab.url(source)), temp.path);
  {
    await using relay = await openRelay(endpointOfUrl(lab.url(target)), temp.path);
    await restoreDump(dump, relay.endpoint, temp.path);
  }
  const sumOf = (database: string) =>
    lab
      .connect(database)
      .unsafe("select md5(string_agg(t::text, '' order by i)) as sum, (select text from q) from t");
  expect(await sumOf(target)).toEqual(await sumOf(source));
  expect(readdirSync(temp.path)).toEqual([]);
});

test("connects with encryption if the server requires it, and reports why it cannot", async () => {
  const openssl = Bun.spawnSync(
    ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"].concat(
      ["-days", "2", "-subj", "/CN=localhost", "-keyout", "-", "-out", "-"],
    ),
  );
  const pem = openssl.stdout.toString();
  const files = {
    "server.key": pem.slice(0, pem.indexOf("-----BEGIN CERT")),
    "server.crt": pem.slice(pem.indexOf("-----BEGIN CERT")),
    "pg_hba.conf": "hostssl all all 127.0.0.1/32 scram-sha-256\n",
  };
  await using server = await startPostgres({ settings: ["ssl = on"], files });
  const { user, password, port } = server.address;
  const url = (mode: string) =>
    endpointOfUrl(`postgres://${user}:${password}@127.0.0.1:${port}/postgres?sslmode=${mode}`);
  for (const mode of ["prefer", "require"]) {
    await using relay = await openRelay(url(mode), temp.path);
    await using connection = await connect(relay.endpoint);
    const [row] = await connection.run(
      "ask",
      (sql) => sql<[{ ssl: boolean }]>`select ssl from pg_stat_ssl where pid = pg_backend_pid()`,
    );
    expect(row?.ssl).toBe(true);
  }
  await using relay = await openRelay(
    { ...url("verify-full"), sslrootcert: "/etc/ssl/certs/ca-certificates.crt" },
    temp.path,
  );
  await expect(connect(relay.endpoint)).rejects.toMatchObject({ code: "database" });
  expect(String(relay.failure)).toContain("certificate");
});

test("separates messages however the bytes are split", () => {
  const query = (text: string) => {
    const body = Buffer.from(`${text}\0`);
    const head = Buffer.from("Q\0\0\0\0");
    head.writeUInt32BE(body.length + 4, 1);
    return Buffer.concat([head, body]);
  };
  const startup = Buffer.from("\0\0\0\x0dQ\0\0\0\x04abcd", "latin1").subarray(0, 13);
  const copied = Buffer.concat([Buffer.from("d\0\0\0\x26"), query(UNKNOWN)]);
  copied.writeUInt32BE(copied.length - 1, 1);
  const sent = [
    startup,
    query(UNKNOWN),
    copied,
    query("select 1"),
    query(UNKNOWN),
    Buffer.from("X\0\0\0\x04"),
  ];
  const known = query("SET statement_timeout = 0;");
  const expected = Buffer.concat([
    startup,
    known,
    copied,
    query("select 1"),
    known,
    Buffer.from("X\0\0\0\x04"),
  ]);
  const whole = Buffer.concat(sent);
  for (let step = 1; step <= whole.length; step++) {
    const rewriter = new QueryRewriter();
    const out: Buffer[] = [];
    for (let at = 0; at < whole.length; at += step) out.push(rewriter.rewrite(whole.subarray(at, at + step)));
    expect(Buffer.concat([...out, rewriter.rest()])).toEqual(expected);
  }
});
