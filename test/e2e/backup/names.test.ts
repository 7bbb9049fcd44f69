import { beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { Installation, type InstallationOptions, localStorage } from "../../lab/installation.ts";
import { usePostgres } from "../../lab/servers/use-postgres.ts";

setDefaultTimeout(60_000);

const postgres = usePostgres();
/** Names used only by this test: other tests have databases on the server too. */
const prefix = `n${crypto.randomUUID().slice(0, 8)}_`;
const [app, shop, star, set] = [`${prefix}app`, `${prefix}shop`, `${prefix}*`, `${prefix}a[p]p`];
/** Looks like database app of server main, but is a separate database. */
const slash = `main/${app}`;

beforeAll(async () => {
  for (const name of [app, shop, star, set, slash]) await postgres.createDatabase(name);
});

function install(databases: string[], change: Partial<InstallationOptions> = {}): Promise<Installation> {
  return Installation.make({
    postgres: postgres.address,
    databases,
    storages: (directory) => [localStorage("disk", directory)],
    ...change,
  });
}

async function backedUp(installation: Installation, ...words: string[]): Promise<string[]> {
  const { backups } = (await installation.ok("backup", ...words, "--json")).json;
  return backups.map(({ database }: { database: string }) => database).sort();
}

test("a database whose name looks like a pattern is not confused with it, and = names it", async () => {
  await using installation = await install([star]);
  expect(await backedUp(installation)).toEqual([star, set, app, shop].sort());
  await installation.configure({ databases: [`=${star}`] });
  expect(await backedUp(installation)).toEqual([star]);
  await installation.configure({ databases: [set] });
  expect(await backedUp(installation)).toEqual([app]);
  await installation.configure({ databases: [star], server: `exclude = ["=${star}"]` });
  expect(await backedUp(installation)).toEqual([set, app, shop].sort());
  await installation.configure({ databases: [app, shop, star], server: `exclude = ["${prefix}a*"]` });
  expect(await backedUp(installation)).toEqual([star, shop].sort());
  await installation.configure({ databases: [`=${prefix}gone*`], server: "" });
  const gone = await installation.run("backup");
  expect(gone.exitCode).toBe(10);
  expect(gone.stdout).toContain(`no database "${prefix}gone*"`);
});

test("a name on the command line is taken literally, and SERVER/DATABASE means that server's database", async () => {
  await using installation = await install([star, slash]);
  expect(await backedUp(installation, star)).toEqual([star]);
  expect(await backedUp(installation, `main/${star}`)).toEqual([star]);
  expect(await backedUp(installation, `main/${app}`)).toEqual([app]);
  expect(await backedUp(installation, `main/${slash}`)).toEqual([slash]);
  const glob = await installation.run("backup", `${prefix}s*`);
  expect(glob.exitCode).toBe(2);
  expect(glob.stderr).toContain("patterns can be used only in the config");

  const restored = `${prefix}restored`;
  postgres.dropAtEnd(restored);
  const words = ["--target", `main/${restored}`, "--create", "--dry-run", "--json"];
  const latest = async (name: string) =>
    (await installation.ok("restore", "latest", "-d", name, ...words)).json;
  expect((await latest(`main/${app}`)).database).toBe(app);
  expect((await latest(`main/${slash}`)).database).toBe(slash);
  expect((await latest(star)).database).toBe(star);

  const forgotten = await installation.ok("forget", `main/${app}`, "--yes", `main/${app}`);
  expect(forgotten.stderr).toContain(`main/${app}: 1 backup, `);
  const { backups } = (await installation.ok("list", "--json")).json;
  const left = new Set(backups.map(({ database }: { database: string }) => database));
  expect(left).toEqual(new Set([star, slash]));
});

test("an invalid glob is a mistake in the config", async () => {
  const wrong = [
    "[[schedule.override]]",
    'name = "busy"',
    'databases = ["main/[z-a]"]',
    'backup = "@hourly"',
  ];
  await using installation = await install(["[z-a]"], { more: wrong.join("\n") });
  const checked = await installation.run("check");
  expect(checked.exitCode).toBe(2);
  for (const path of ["server[0].databases[0]", "schedule.override[0].databases[0]"])
    expect(checked.stderr).toContain(path);
});
