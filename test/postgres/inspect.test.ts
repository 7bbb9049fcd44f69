import { describe, expect, test } from "bun:test";
import { connect, endpointOfUrl } from "../../src/postgres/connection.ts";
import {
  contentsOfDatabase,
  databaseBytes,
  databaseExists,
  inspectServer,
  listDatabases,
  offerOf,
} from "../../src/postgres/inspect.ts";
import { usePostgres } from "../lab/servers/use-postgres.ts";

const lab = usePostgres();
const open = (database: string, user?: string) =>
  connect({ ...endpointOfUrl(lab.url(database)), ...(user !== undefined && { user }) });

test("the server reports its version and data directory", async () => {
  await using connection = await open("postgres");
  const facts = await inspectServer(connection);
  expect(facts.version).toStartWith(`${facts.major}.`);
  expect(facts).toMatchObject({ isSuperuser: true, dataDirectory: lab.address.data_dir });
});

test("databases that cannot be dumped are not listed", async () => {
  const [visible, template, closed] = [
    await lab.createDatabase(),
    await lab.createDatabase(),
    await lab.createDatabase(),
  ];
  const admin = lab.connect();
  await admin.unsafe(`alter database ${template} is_template true`);
  await admin.unsafe(`alter database ${closed} allow_connections false`);
  try {
    await using connection = await open("postgres");
    const names = await listDatabases(connection);
    expect(names).toContain(visible);
    expect(names).toContain("postgres");
    for (const hidden of [template, closed, "template0", "template1"]) expect(names).not.toContain(hidden);
    expect(names).toEqual(names.toSorted());
    expect(await databaseExists(connection, closed)).toBe(true);
    expect(await databaseExists(connection, "no such")).toBe(false);
  } finally {
    await admin.unsafe(`alter database ${template} is_template false`);
  }
});

test("the size grows with the data", async () => {
  const name = await lab.createDatabase();
  await using connection = await open("postgres");
  const before = (await databaseBytes(connection, name)) ?? 0;
  await lab.connect(name)`create table t as select repeat('x', 1000) from generate_series(1, 5000)`;
  expect((await databaseBytes(connection, name)) ?? 0).toBeGreaterThan(before + 4_000_000);
  expect(await databaseBytes(connection, "no such")).toBeUndefined();
});

test("a role with few rights gets undefined, not an error", async () => {
  const role = `role_${crypto.randomUUID().slice(0, 8)}`;
  const name = await lab.createDatabase();
  const admin = lab.connect();
  await admin.unsafe(`create role ${role} login password '${lab.address.password}'`);
  await admin.unsafe(`revoke connect on database ${name} from public`);
  try {
    await using connection = await open("postgres", role);
    expect(await inspectServer(connection)).toMatchObject({ isSuperuser: false, dataDirectory: undefined });
    expect(await databaseBytes(connection, name)).toBeUndefined();
    expect((await offerOf(connection)).roles).toContain(role);
  } finally {
    await admin.unsafe(`drop role ${role}`);
  }
});

test("the roles, extensions and tablespaces of a server", async () => {
  await using connection = await open("postgres");
  const offer = await offerOf(connection);
  expect(offer.roles).toContain("postgres");
  expect(offer.extensions).toContain("plpgsql");
  expect(offer.tablespaces.toSorted()).toContain("pg_default");
});

describe("an empty database", () => {
  test("has no objects, or only extensions", async () => {
    const name = await lab.createDatabase();
    await using connection = await open(name);
    expect(await contentsOfDatabase(connection)).toEqual([]);
    await lab.connect(name)`create extension hstore`;
    expect(await contentsOfDatabase(connection)).toEqual([]);
  });

  test.each([
    ["create table t (i int)", "1 relation"],
    ["create view v as select 1", "1 relation"],
    ["create sequence s", "1 relation"],
    ["create schema s", "1 schema"],
    ["create function f() returns int language sql as 'select 1'", "1 function"],
    ["create type e as enum ('a')", "1 type"],
    ["create type c as (i int)", "1 type"],
    ["create domain d as int", "1 type"],
    ["select lo_create(0)", "1 large object"],
    ["create publication p for all tables", "1 publication"],
    ['create collation c from "C"', "1 collation"],
    ["create extension hstore; create table t (h hstore)", "1 relation"],
  ])("is not one after: %s", async (statement, expected) => {
    const name = await lab.createDatabase();
    await lab.connect(name).unsafe(statement).simple();
    await using connection = await open(name);
    expect(await contentsOfDatabase(connection)).toEqual([expected]);
  });
});
