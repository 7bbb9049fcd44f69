import { expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { $ } from "bun";
import { localStorage, s3Storage } from "../../lab/installation.ts";
import { copyStates, keysIn } from "../../lab/leftovers.ts";
import { rgw } from "../../lab/servers/s3.ts";
import { usePostgres } from "../../lab/servers/use-postgres.ts";
import { useInstallations } from "../../lab/use-installations.ts";

setDefaultTimeout(60_000);

/** The first check of a place, before it has a marker. */

const MARKER = "pg321-storage.json";
const postgres = usePostgres();
const installations = useInstallations(postgres);
const { install } = installations;

test.each([
  ["a bucket", {}, /storages "one" and "two" are the same place/],
  ["a prefix", { prefix: "pg321/below" }, /storage "two" lies inside storage "one"/],
])("%s under another spelling of its endpoint is refused before the first copy", async (_, more, words) => {
  const lab = await rgw();
  const other = { ...lab, endpoint: lab.endpoint.replace("127.0.0.1", "localhost") };
  const bucket = await lab.makeBucket();
  const one = () => s3Storage("one", lab, bucket);
  const installation = await install(() => [one(), s3Storage("two", other, bucket, more)]);
  for (const command of ["backup", "backup", "check"]) {
    const { exitCode, stderr } = await installation.run(command);
    expect({ exitCode, stderr }).toEqual({ exitCode: 2, stderr: expect.stringMatching(words) });
  }
  const keys = await keysIn({ name: "one", lab, bucket });
  expect(keys.filter((key) => !key.endsWith(MARKER))).toEqual([]);
  // Whatever its name later, its records are those of the place.
  await installation.configure({ storages: () => [one()] });
  const { backup_id } = (await installation.ok("backup", "--json")).json.backups[0];
  await installation.configure({ storages: () => [s3Storage("three", other, bucket)] });
  await installation.ok("repair");
  expect(await copyStates(installation, backup_id)).toBe("three:CONFIRMED");
});

test("FIFOs with the marker's name make nothing hang", async () => {
  const installation = await install((dir) => [localStorage("disk", dir), localStorage("nas", dir)]);
  for (const directory of ["", "disk"])
    await $`mkfifo ${join(installation.directory, directory, MARKER)}`.quiet();
  const { stderr } = await installation.ok("backup");
  expect(stderr).toMatch(/the marker of a storage could not be written storage=disk/);
});
