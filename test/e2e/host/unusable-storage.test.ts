import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Installation, localStorage, s3Storage } from "../../lab/installation.ts";
import { rgw } from "../../lab/servers/s3.ts";
import { usePostgres } from "../../lab/servers/use-postgres.ts";

const postgres = usePostgres();
let installation: Installation;
let database: string;
let credential: string;
beforeAll(async () => {
  database = await postgres.createDatabase();
  await postgres.connect(database)`create table kept as select generate_series(1, 100) as n`;
  const address = await rgw();
  const bucket = await address.makeBucket();
  installation = await Installation.make({
    postgres: postgres.address,
    databases: [database],
    storages: (directory) => [
      s3Storage("cloud", address, bucket).replace(
        /secret_access_key = .*/,
        'secret_access_key = { credential = "cloud-key" }',
      ),
      localStorage("disk", directory),
    ],
    more: '[[notify]]\nname = "ops"\ntype = "webhook"\nurl = { env = "HOOK", default = "http://127.0.0.1:9/" }',
  });
  credential = join(installation.directory, "credentials/cloud-key");
  await mkdir(join(installation.directory, "credentials"), { mode: 0o700 });
  await writeFile(credential, address.secret_access_key, { mode: 0o600 });
  await installation.ok("backup");
  await rm(credential);
});
afterAll(() => installation[Symbol.asyncDispose]());

const REASON = /storage "cloud" is not usable: secret_access_key: credential "cloud-key" does not exist/;

test("without the credential of one storage a backup is restored from the other, and the storage is named", async () => {
  const target = await postgres.createDatabase();
  const { stderr } = await installation.ok("restore", "latest", "-d", database, "--target", `main/${target}`);
  expect(stderr).toMatch(REASON);
  const [row] = await postgres.connect(target)`select count(*)::int as n from kept`;
  expect(row).toEqual({ n: 100 });
});

test("list and show go on, and show says why the copy cannot be read", async () => {
  const { stdout, stderr } = await installation.ok("list");
  expect(stdout).toContain("cloud, disk");
  expect(stderr).toMatch(REASON);
  const id = (await installation.ok("list", "--json")).json.backups[0].id;
  expect((await installation.ok("show", id)).stdout).toMatch(
    /cloud .*storage not usable: secret_access_key: /,
  );
  // The copy is as good as it was: nothing is recorded as missing or damaged.
  expect((await installation.ok("show", id, "--json")).json.copies).toMatchObject([
    { storage: "cloud", state: "CONFIRMED", error: null },
    { storage: "disk", state: "CONFIRMED", error: null },
  ]);
});

test("read only from that storage a restore says why it cannot", async () => {
  const target = await postgres.createDatabase();
  const words = ["restore", "latest", "-d", database, "--target", `main/${target}`, "--from", "cloud"];
  const { exitCode, stderr } = await installation.run(...words);
  expect(exitCode).toBe(13);
  expect(stderr).toContain('storage "cloud": not usable: secret_access_key: credential "cloud-key"');
});

test.each([["backup"], ["check"], ["verify"], ["repair"], ["cleanup"]])(
  "%s refuses the config",
  async (command) => {
    const { exitCode, stderr } = await installation.run(command);
    expect(exitCode).toBe(2);
    expect(stderr).toMatch(/storage\[0\]\.secret_access_key: credential "cloud-key" does not exist/);
  },
);
