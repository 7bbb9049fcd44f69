import { afterAll, beforeAll, beforeEach, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import { GetObjectCommand, ListObjectsV2Command, PutObjectCommand } from "@aws-sdk/client-s3";
import { fillNoiseDatabase } from "../../lab/data/noise-database.ts";
import { Installation, localStorage, s3Storage } from "../../lab/installation.ts";
import { flippedInTheMiddle, LocalCopies } from "../../lab/local-copies.ts";
import type { FaultProxy } from "../../lab/servers/fault-proxy.ts";
import { startFaultProxy } from "../../lab/servers/fault-proxy.ts";
import type { S3Lab } from "../../lab/servers/s3.ts";
import { rgw } from "../../lab/servers/s3.ts";
import { compareByName, usePostgres } from "../../lab/servers/use-postgres.ts";

setDefaultTimeout(120_000);
const postgres = usePostgres();
let installation: Installation;
let proxy: FaultProxy;
let lab: S3Lab;
let bucket: string;
let source: string;
let backupId: string;

/** The bucket is read first: it is on-site, the directory is not. */
beforeAll(async () => {
  source = await postgres.createDatabase();
  await fillNoiseDatabase(postgres.connect(source), 24);
  lab = await rgw();
  bucket = await lab.makeBucket();
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
  backupId = await installation.backUp();
});
beforeEach(() => proxy.pass());
afterAll(async () => {
  await installation[Symbol.asyncDispose]();
  await proxy.stop();
});

async function restore(...words: string[]) {
  const name = postgres.newName(source);
  const target = ["--target", `main/${name}`, "--create"];
  const { exitCode, stderr } = await installation.run("restore", backupId, ...target, ...words);
  return { exitCode, stderr, name };
}

const MIB = 1024 * 1024;

test.each([
  ["before its first byte", (bytes: number) => proxy.cutAnswersAfter(bytes), 1],
  ["in the middle", (bytes: number) => proxy.cutAnswersAfter(bytes), 15 * MIB],
  ["by silence in the middle", (bytes: number) => proxy.stallAnswersAfter(bytes), 15 * MIB],
])("a storage that is cut off %s: the stream continues from another", async (_, fault, bytes) => {
  fault(bytes);
  const { exitCode, stderr, name } = await restore();
  expect({ exitCode, stderr }).toMatchObject({ exitCode: 0 });
  expect(stderr).toMatch(/warning a copy .*storage=r2/);
  const { differences } = await compareByName(postgres, source, name);
  expect(differences).toEqual([]);
});

test("with --from reading continues from the same storage when it is back", async () => {
  proxy.cutAnswersOnceAfter(15 * MIB);
  const { exitCode, stderr, name } = await restore("--from", "r2");
  expect({ exitCode, stderr }).toMatchObject({ exitCode: 0 });
  expect(stderr).toMatch(/warning a copy failed while it was read.*storage=r2/);
  const { differences } = await compareByName(postgres, source, name);
  expect(differences).toEqual([]);
});

test("with --from there is no other storage: exit 13, and a hint about the partly restored database", async () => {
  proxy.cutAnswersAfter(15 * MIB);
  const { exitCode, stderr, name } = await restore("--from", "r2");
  expect({ exitCode, stderr }).toMatchObject({ exitCode: 13 });
  expect(stderr).toMatch(new RegExp(`hint: .*database "${name}" holds what was restored before the failure`));
});

test("verify marks no copy in a storage that is cut off: exit 13", async () => {
  for (const fault of [() => proxy.cutAnswersAfter(1), () => proxy.cutAnswersAfter(5 * MIB)]) {
    proxy.pass();
    fault();
    const { exitCode, json } = await installation.run("verify", "--all", "--json");
    const verdicts = json.copies.map(({ verdict }: { verdict: string }) => verdict).sort();
    expect({ exitCode, verdicts }).toEqual({ exitCode: 13, verdicts: ["good", "unreachable"] });
  }
  proxy.pass();
  const { json } = await installation.ok("show", backupId, "--json");
  expect(json.status).toBe("VERIFIED");
});

test("an object replaced in the bucket is detected, and repaired from the directory", async () => {
  const { Contents = [] } = await lab.client.send(new ListObjectsV2Command({ Bucket: bucket }));
  const Key = Contents.find((one) => one.Key?.endsWith(".enc"))?.Key;
  const whole = readFileSync(new LocalCopies(installation, backupId).object("disk"));
  const Body = flippedInTheMiddle(Buffer.from(whole));
  await lab.client.send(new PutObjectCommand({ Bucket: bucket, Key, Body }));
  const { exitCode, stderr } = await restore();
  expect({ exitCode, stderr }).toMatchObject({ exitCode: 0 });
  expect(stderr).toMatch(/warning a copy failed while it was read.*storage=r2.*is damaged/);
  expect((await installation.run("verify", "--all")).exitCode).toBe(14);
  await installation.ok("repair");
  await installation.ok("verify", "--all");
  const object = await lab.client.send(new GetObjectCommand({ Bucket: bucket, Key }));
  expect(whole.equals(Buffer.from((await object.Body?.transformToByteArray()) ?? []))).toBe(true);
});

test("repair does not accept a truncated object as a copy", async () => {
  const copies = new LocalCopies(installation, backupId);
  copies.remove(copies.object("disk"));
  copies.remove(copies.manifest("disk"));
  expect((await installation.run("verify", "--all", "--storage", "disk")).exitCode).toBe(14);
  proxy.cutAnswersAfter(15 * MIB);
  const { exitCode, json } = await installation.run("repair", "--json");
  expect({ exitCode, json }).toMatchObject({ exitCode: 3, json: { copies: [{ outcome: "failed" }] } });
  expect(await installation.files("disk")).toEqual([]);
  proxy.pass();
  await installation.ok("repair");
  await installation.ok("verify", "--all");
});
