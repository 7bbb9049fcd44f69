import { Database } from "bun:sqlite";
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { Secret } from "../../../src/base/secret.ts";
import { connect } from "../../../src/postgres/connection.ts";
import { countDatabase } from "../../../src/postgres/counts/count-database.ts";
import type { DumpFacts } from "../../../src/postgres/counts/facts.ts";
import type { Installation } from "../../lab/installation.ts";
import { localStorage } from "../../lab/installation.ts";
import { flippedInTheMiddle, LocalCopies } from "../../lab/local-copies.ts";
import { databaseNames, usePostgres } from "../../lab/servers/use-postgres.ts";
import { useInstallations } from "../../lab/use-installations.ts";

/** The whole way of a restore test: a real cluster of its own, made and removed. */

setDefaultTimeout(120_000);

const postgres = usePostgres();
const installations = useInstallations(postgres);

const disks =
  (...names: string[]) =>
  (directory: string) =>
    names.map((name) => localStorage(name, directory));

async function currentFacts(): Promise<DumpFacts> {
  const { address } = postgres;
  await using connection = await connect({
    ...{ label: "lab", host: address.socket_dir, port: address.port, user: address.user },
    ...{ password: new Secret(address.password), database: installations.source, sslmode: "disable" },
    ...{ sslrootcert: undefined, sslcert: undefined, sslkey: undefined, connect_timeout_ms: 10_000 },
  });
  return await countDatabase(connection, { maxBytes: 0, signal: new AbortController().signal });
}

/** Replaces what the catalog says of the only backup's rows. */
function recordFacts(installation: Installation, facts: DumpFacts): void {
  using catalog = new Database(join(installation.directory, "state/catalog.db"));
  catalog.run("UPDATE backups SET facts = ?", [JSON.stringify(facts)]);
}

const checksOf = ({ checks }: { checks: { name: string }[] }) =>
  Object.fromEntries(checks.map((check) => [check.name, check]));

describe("a restore test in a throwaway cluster", () => {
  test("restores the newest backup, compares it, measures it, and leaves nothing behind", async () => {
    const installation = await installations.install(disks("a"));
    await installation.ok("backup");
    const before = await databaseNames(postgres);
    const { json, stdout } = await installation.ok("restore-test", "--json");
    expect(json.outcome).toBe("OK");
    expect(json.tests).toHaveLength(1);
    const [result] = json.tests;
    expect(result, stdout).toMatchObject({
      outcome: "PASSED",
      storage: "a",
      target: "throwaway",
      error: null,
    });
    expect(result.fetch_ms).toBeGreaterThanOrEqual(0);
    expect(result.restore_ms).toBeGreaterThan(0);
    const names = ["pg_restore", "rows", "sequences", "objects", "indexes", "constraints"];
    expect(Object.keys(checksOf(result))).toEqual(names);
    expect(result.checks[0]).toMatchObject({ is_ok: true, found: "0 errors" });
    const [status] = (await installation.ok("status", "--json")).json.databases;
    const recovery_ms = result.fetch_ms + result.restore_ms;
    const { finished_at } = result;
    expect(status.restore_test).toMatchObject({
      ...{ outcome: "PASSED", storage: "a", last_passed_at: finished_at, recovery_ms },
      recoveries: [{ finished_at, storage: "a", recovery_ms }],
    });
    expect((await installation.ok("show", result.backup_id)).stdout).toContain(
      `passed ${finished_at} from a (throwaway): recovery `,
    );
    expect(await databaseNames(postgres)).toEqual(before);
    expect(await installation.temporaryFiles()).toEqual([]);
  });

  test("tells one row that is missing, with table and numbers, and raises an alert until a test passes", async () => {
    const installation = await installations.install(disks("a"));
    await installation.ok("backup");
    const facts = await currentFacts();
    const [table] = facts.tables.filter(({ rows }) => (rows ?? 0) > 0);
    if (!table) throw new Error("the sample database has rows");
    const rows = (table.rows ?? 0) + 1;
    recordFacts(installation, {
      ...facts,
      tables: facts.tables.map((one) => (one === table ? { ...one, rows } : one)),
    });
    const { exitCode, json } = await installation.run("restore-test", "--json");
    expect(exitCode).toBe(14);
    const text = `${table.schema}.${table.name}: ${rows.toLocaleString("en")} rows at the backup, ${(rows - 1).toLocaleString("en")} restored`;
    expect(json.tests[0]).toMatchObject({ outcome: "FAILED", error: text });
    const key = `restore_test main/${installations.source}`;
    const alerts = async () =>
      (await installation.ok("alerts", "--json")).json.alerts.filter(
        (one: { key: string }) => one.key === key,
      );
    expect(await alerts()).toMatchObject([{ level: "CRITICAL", resolved_at: null }]);
    recordFacts(installation, facts);
    await installation.ok("restore-test");
    expect(await alerts()).toMatchObject([{ resolved_at: expect.any(String) }]);
  });

  test("continues with the next storage if a copy is damaged, which it records; rotates otherwise", async () => {
    const installation = await installations.install(disks("a", "b", "c"));
    const { json: backup } = await installation.ok("backup", "--json");
    const id = backup.backups[0].backup_id;
    const storages = async (...words: string[]) =>
      (await installation.run("restore-test", "--json", ...words)).json.tests.map(
        ({ storage, outcome }: { storage: string; outcome: string }) => `${storage} ${outcome}`,
      );
    expect(await storages()).toEqual(["a PASSED"]);
    expect(await storages()).toEqual(["b PASSED"]);
    const copies = new LocalCopies(installation, id);
    copies.damage("c", flippedInTheMiddle);
    expect(await storages()).toEqual(["c FAILED", "a PASSED"]);
    const shown = (await installation.ok("show", id, "--json")).json;
    const states = Object.fromEntries(
      shown.copies.map((copy: { storage: string; state: string }) => [copy.storage, copy.state]),
    );
    expect(states).toEqual({ a: "CONFIRMED", b: "CONFIRMED", c: "DAMAGED" });
    await installation.ok("repair");
    expect(await storages(id.slice(0, 8), "--from", "c")).toEqual(["c PASSED"]);
  });

  test("fails with the answer of a check, and says which errors of pg_restore were allowed", async () => {
    const installation = await installations.install(disks("a"));
    const check = (name: string, sql: string, expected: string) =>
      `[[restore_test.check]]\nname = "${name}"\nsql = "${sql}"\nexpect = ${expected}`;
    await installation.configure({
      more: ["[restore_test]", check("one", "select 1 = 1", "true"), check("two", "select 3", "2")].join(
        "\n",
      ),
    });
    await installation.ok("backup");
    const { exitCode, json } = await installation.run("restore-test", "--json");
    expect(exitCode).toBe(14);
    const checks = checksOf(json.tests[0]);
    expect(checks["check one"]).toMatchObject({ is_ok: true, found: "true" });
    expect(checks["check two"]).toMatchObject({ is_ok: false, expected: "2", found: "3" });
    const { stdout } = await installation.ok("show", json.tests[0].backup_id);
    expect(stdout).toContain("check two: expected 2, found 3");
    expect(json.tests[0].error).toBe("check two: not the expected answer");
  });
});
