import { expect, setDefaultTimeout, test } from "bun:test";
import { Installation, localStorage } from "../../lab/installation.ts";
import { usePostgres } from "../../lab/servers/use-postgres.ts";

setDefaultTimeout(60_000);

const postgres = usePostgres();
const REASON = "audit of 2026, ask Ada";

test("the reason of a hold is shown wherever the hold is, until it is released or replaced", async () => {
  const database = await postgres.createDatabase();
  await using installation = await Installation.make({
    postgres: postgres.address,
    databases: [database],
    storages: (directory) => [localStorage("disk", directory)],
  });
  const [{ backup_id: id }] = (await installation.ok("backup", "--json")).json.backups;
  const held = await installation.ok("hold", id, "--reason", REASON, "--until", "2100-01-31");
  expect(held.stdout).toBe(`${id.slice(0, 8)} is held until 2100-01-31 00:00:00 UTC (${REASON})\n`);
  expect((await installation.ok("show", id)).stdout).toMatch(
    /^held +until 2100-01-31.* \(audit of 2026, ask Ada\)$/m,
  );
  expect((await installation.ok("list", "--json")).json.backups).toMatchObject([{ id, hold_reason: REASON }]);
  for (const words of [
    ["delete", id, "--force"],
    ["forget", database, "--yes", database],
  ]) {
    const { exitCode, stderr } = await installation.run(...words);
    expect(exitCode).toBe(2);
    expect(stderr).toContain(`on hold: ${id.slice(0, 8)} until 2100-01-31 00:00:00 UTC (${REASON})`);
  }
  await installation.ok("hold", id);
  expect((await installation.ok("show", id, "--json")).json).toMatchObject({
    hold_reason: null,
    hold_until: null,
  });
  await installation.ok("hold", id, "--reason", REASON);
  await installation.ok("unhold", id);
  expect((await installation.ok("show", id, "--json")).json).toMatchObject({
    hold_reason: null,
    held_at: null,
  });
  expect((await installation.run("hold", id, "--reason", "x".repeat(201))).exitCode).toBe(2);
});
