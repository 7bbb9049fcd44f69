import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { localStorage } from "../../lab/installation.ts";
import { databaseNames, usePostgres } from "../../lab/servers/use-postgres.ts";
import { useInstallations } from "../../lab/use-installations.ts";

setDefaultTimeout(120_000);

const postgres = usePostgres();
const installations = useInstallations(postgres);

const disks =
  (...names: string[]) =>
  (directory: string) =>
    names.map((name) => localStorage(name, directory));

describe("a restore test in a throwaway cluster", () => {
  test("restores the newest backup, measures it, and leaves nothing behind", async () => {
    const installation = await installations.install(disks("a"));
    await installation.ok("backup");
    const before = await databaseNames(postgres);
    const { json } = await installation.ok("restore-test", "--json");
    expect(json.outcome).toBe("OK");
    expect(json.tests).toHaveLength(1);
    const [test] = json.tests;
    expect(test).toMatchObject({ outcome: "PASSED", storage: "a", target: "throwaway", error: null });
    expect(test.fetch_ms).toBeGreaterThanOrEqual(0);
    expect(test.restore_ms).toBeGreaterThan(0);
    expect(test.checks[0]).toMatchObject({ name: "pg_restore", is_ok: true, found: "0 errors" });
    expect(await databaseNames(postgres)).toEqual(before);
    expect(await installation.temporaryFiles()).toEqual([]);
  });
});
