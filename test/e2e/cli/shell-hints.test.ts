import { expect, setDefaultTimeout, test } from "bun:test";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { quoteIdentifier } from "../../../src/postgres/archive/sql-text.ts";
import { Installation, localStorage, programWords } from "../../lab/installation.ts";
import { usePostgres } from "../../lab/servers/use-postgres.ts";

setDefaultTimeout(60_000);

const postgres = usePostgres();

test("the commands that hints print for a database with an odd name do what they say when pasted", async () => {
  const prefix = `h${crypto.randomUUID().slice(0, 8)}`;
  const name = `${prefix} it's; touch "pwned" $(touch pwned)`;
  await postgres.createDatabase(name);
  await using installation = await Installation.make({
    postgres: postgres.address,
    databases: [`${prefix}*`],
    storages: (directory) => [localStorage("disk", directory)],
  });
  await installation.ok("backup");
  await postgres.connect().unsafe(`drop database ${quoteIdentifier(name)}`);
  await installation.run("backup");

  const { alerts } = (await installation.ok("alerts", "--json")).json;
  const gone = alerts.find(({ key }: { key: string }) => key.startsWith("gone "));
  const [, forget] = /with: (pg321 forget .*?); to keep/.exec(gone.metadata.hint) ?? [];
  const refused = await pasted(installation, forget as string);
  expect(refused.exitCode).toBe(2);
  const [, confirm] = /^hint: confirm with (.*)$/m.exec(refused.stderr) ?? [];
  expect((await pasted(installation, `${forget} ${confirm}`)).exitCode).toBe(0);
  expect((await installation.ok("list", "--json")).json.backups).toEqual([]);
  expect(existsSync(join(installation.directory, "pwned"))).toBe(false);
});

/** Runs a line as somebody does who pastes it into a shell. */
async function pasted(installation: Installation, line: string) {
  const program = programWords().join(" ");
  const child = Bun.spawn(["bash", "-c", `pg321() { ${program} "$@"; }\n${line}`], {
    cwd: installation.directory,
    env: { PATH: process.env["PATH"], PG321_CONFIG: installation.configFile },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const stderr = await new Response(child.stderr).text();
  return { exitCode: await child.exited, stderr };
}
