import { expect, test } from "bun:test";
import { Installation, localStorage } from "../../lab/installation.ts";
import { usePostgres } from "../../lab/servers/use-postgres.ts";

const postgres = usePostgres();

test("a failed restore says what it leaves, and never advises to drop a database that was in use", async () => {
  const source = await postgres.createDatabase();
  const sql = postgres.connect(source);
  // A row that the table accepts only in a session with this setting, which a restore does not have.
  await sql
    .unsafe(
      `set app.loading = 'on';
      create table t (w text check (coalesce(current_setting('app.loading', true), '') = 'on'));
      insert into t values ('a')`,
    )
    .simple();
  await using installation = await Installation.make({
    postgres: postgres.address,
    databases: [source],
    storages: (directory) => [localStorage("disk", directory)],
  });
  await installation.ok("backup");

  const used = await postgres.createDatabase();
  await postgres.connect(used).unsafe("create table mine ()");
  const existing = ["--target", `main/${used}`, "--table", "t", "--into-existing"];
  for (const [words, remains] of [
    [[], `nothing of database "${used}" was changed`],
    [["--jobs", "2"], `database "${used}" holds what was restored before the failure: check it`],
  ] as const) {
    const inUse = await installation.run("restore", "latest", "-d", source, ...existing, ...words);
    expect(inUse.exitCode).toBe(10);
    expect(inUse.stderr).toContain(remains);
    expect(inUse.stderr).not.toContain("drop");
  }

  const made = `${source}_new`;
  postgres.dropAtEnd(made);
  const create = ["--target", `main/${made}`, "--table", "t", "--create"];
  const fresh = await installation.run("restore", "latest", "-d", source, ...create);
  expect(fresh.exitCode).toBe(10);
  expect(fresh.stderr).toContain(`database "${made}" holds what was restored before the failure: drop it`);
});
