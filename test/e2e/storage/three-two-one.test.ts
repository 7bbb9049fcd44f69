import { expect, test } from "bun:test";
import { symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Finding } from "../../../src/doctor/finding.ts";
import { Installation, localStorage } from "../../lab/installation.ts";
import { usePostgres } from "../../lab/servers/use-postgres.ts";

const postgres = usePostgres();

const NOT_MET =
  "3-2-1 is not met: 2 of 3 copies (the live database is one), 1 of 2 kinds of storage (only disks), no copy off-site";

test("doctor warns of storages that do not meet 3-2-1; two names for one place count once", async () => {
  await using installation = await Installation.make({
    postgres: postgres.address,
    databases: [await postgres.createDatabase()],
    storages: (directory) => [localStorage("disk", directory)],
  });
  const { directory, configFile } = installation;
  const doctor = async () => {
    const { exitCode, json } = await installation.run("doctor", "--json");
    const findings: Finding[] = json.findings;
    return { exitCode, of: (subject: string) => findings.filter((one) => one.subject === subject) };
  };
  const alone = await doctor();
  expect(alone.exitCode).toBe(0);
  const hint = expect.stringContaining('add a [[storage]] of type "s3" at another site');
  expect(alone.of("3-2-1")).toEqual([
    { area: "storage", subject: "3-2-1", verdict: "warning", message: NOT_MET, hint, code: null },
  ]);

  const links = ["twin", "again"].map((name) => ({ name, path: join(directory, name) }));
  for (const { path } of links) await symlink(join(directory, "disk"), path);
  const tables = links.map(
    ({ name, path }) => `[[storage]]\nname = "${name}"\ntype = "local"\npath = "${path}"`,
  );
  await writeFile(configFile, [await Bun.file(configFile).text(), ...tables].join("\n"));
  const twins = await doctor();
  expect(twins.exitCode).toBe(2);
  expect(twins.of("3-2-1").map(({ message }) => message)).toEqual([NOT_MET]);
  expect(twins.of("places").map(({ message }) => message)).toEqual([
    'storages "disk" and "twin" are the same place',
    'storages "disk" and "again" are the same place',
    'storages "twin" and "again" are the same place',
  ]);
});
