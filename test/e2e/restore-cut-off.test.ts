import { afterAll, beforeAll, beforeEach, expect, setDefaultTimeout, test } from "bun:test";
import { compareDatabases } from "../lab/compare-databases.ts";
import type { FaultProxy } from "../lab/fault-proxy.ts";
import { startFaultProxy } from "../lab/fault-proxy.ts";
import { Installation, localStorage, s3Storage } from "../lab/installation.ts";
import { LocalCopies } from "../lab/local-copies.ts";
import { fillNoiseDatabase } from "../lab/noise-database.ts";
import { rgw } from "../lab/s3.ts";
import { usePostgres } from "../lab/use-postgres.ts";

setDefaultTimeout(120_000);
const postgres = usePostgres();
let installation: Installation;
let proxy: FaultProxy;
let source: string;
let backupId: string;

/** The bucket is read first: it is on-site, the directory is not. */
beforeAll(async () => {
  source = await postgres.createDatabase();
  await fillNoiseDatabase(postgres.connect(source), 24);
  const lab = await rgw();
  const bucket = await lab.makeBucket();
  proxy = await startFaultProxy(Number(new URL(lab.endpoint).port));
  const address = { ...lab, endpoint: `http://127.0.0.1:${proxy.port}` };
  installation = await Installation.make({
    postgres: postgres.address,
    databases: [source],
    storages: (directory) => [
      s3Storage("r2", address, bucket, { off_site: false, stall_timeout: "2s", attempts: 2 }),
      localStorage("disk", directory, { off_site: true }),
    ],
  });
  backupId = (await installation.ok("backup", "--json")).json.backups[0].backup_id;
});
beforeEach(() => proxy.pass());
afterAll(async () => {
  await installation[Symbol.asyncDispose]();
  await proxy.stop();
});

async function restore(...words: string[]) {
  const name = `${source}_${crypto.randomUUID().slice(0, 8)}`;
  postgres.dropAtEnd(name);
  const target = ["--target", `main/${name}`, "--create"];
  const { exitCode, stderr } = await installation.run("restore", backupId, ...target, ...words);
  return { exitCode, stderr, name };
}

const MIB = 1024 * 1024;

test.each([
  ["before its first byte", (bytes: number) => proxy.cutAnswersAfter(bytes), 1],
  ["in the middle", (bytes: number) => proxy.cutAnswersAfter(bytes), 15 * MIB],
  ["by silence in the middle", (bytes: number) => proxy.stallAnswersAfter(bytes), 15 * MIB],
])("a storage that is cut off %s: the stream goes on from another", async (_, fault, bytes) => {
  fault(bytes);
  const { exitCode, stderr, name } = await restore();
  expect({ exitCode, stderr }).toMatchObject({ exitCode: 0 });
  expect(stderr).toMatch(/warning a copy .*storage=r2/);
  const { differences } = await compareDatabases(postgres.connect(source), postgres.connect(name));
  expect(differences).toEqual([]);
});

test("with --from there is no other: exit 13, and what to do with the remains", async () => {
  proxy.cutAnswersAfter(15 * MIB);
  const { exitCode, stderr, name } = await restore("--from", "r2");
  expect({ exitCode, stderr }).toMatchObject({ exitCode: 13 });
  expect(stderr).toMatch(new RegExp(`hint: .*database "${name}" holds what was restored until then`));
});

test("repair does not take what was cut off for a copy", async () => {
  const copies = new LocalCopies(installation, backupId);
  copies.remove(copies.object("disk"));
  copies.remove(copies.manifest("disk"));
  expect((await installation.run("verify", "--storage", "disk")).exitCode).toBe(14);
  proxy.cutAnswersAfter(15 * MIB);
  const { exitCode, json } = await installation.run("repair", "--json");
  expect({ exitCode, json }).toMatchObject({ exitCode: 3, json: { copies: [{ outcome: "failed" }] } });
  expect(await installation.files("disk")).toEqual([]);
  proxy.pass();
  await installation.ok("repair");
  await installation.ok("verify");
});
