import { expect, setDefaultTimeout, test } from "bun:test";
import { readdirSync } from "node:fs";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { DeleteObjectCommand, ListObjectVersionsCommand } from "@aws-sdk/client-s3";
import { $ } from "bun";
import { temporaryPath } from "../../../src/storage/local/put.ts";
import { MARKER_KEY } from "../../../src/storage/marker.ts";
import { localStorage, s3Storage } from "../../lab/installation.ts";
import { copyStates, keysIn } from "../../lab/leftovers.ts";
import { mountTmpfs } from "../../lab/machine/mounts.ts";
import type { Hold } from "../../lab/servers/held-requests.ts";
import { isManifest, pathOf } from "../../lab/servers/held-requests.ts";
import { startHttpProxy } from "../../lab/servers/http-proxy.ts";
import { rgw } from "../../lab/servers/s3.ts";
import { usePostgres } from "../../lab/servers/use-postgres.ts";
import { useInstallations } from "../../lab/use-installations.ts";

setDefaultTimeout(120_000);

/** Cleaning up removes nothing that a good copy may still need. */

const postgres = usePostgres();
const installations = useInstallations(postgres);
const { install } = installations;

test("bytes that somebody has hidden in a versioned bucket stay, and come back if no other copy is good", async () => {
  const lab = await rgw();
  const bucket = await lab.makeBucket({ versioned: true });
  const installation = await install((dir) => [localStorage("disk", dir), s3Storage("rgw", lab, bucket)]);
  const { backup_id } = (await installation.ok("backup", "--json")).json.backups[0];
  const keys = await keysIn({ name: "rgw", lab, bucket });
  const versions = async () =>
    ((await lab.client.send(new ListObjectVersionsCommand({ Bucket: bucket }))).Versions ?? [])
      .map(({ Key = "" }) => Key.replace("pg321/", ""))
      .filter((key) => key !== MARKER_KEY)
      .sort();
  for (const key of keys)
    await lab.client.send(new DeleteObjectCommand({ Bucket: bucket, Key: `pg321/${key}` }));
  const object = join(installation.directory, "disk", keys.find((key) => key.endsWith(".enc")) as string);
  const bytes = await readFile(object);
  const rotten = Buffer.from(bytes);
  rotten[rotten.length >> 1] = (rotten[rotten.length >> 1] as number) ^ 1;
  await writeFile(object, rotten);

  expect((await installation.run("verify", "--all", "--storage", "rgw")).exitCode).toBe(14);
  // The other copy is damaged, so the bytes come from the hidden version. Nothing is removed.
  await installation.ok("repair");
  expect(await versions()).toEqual(keys.flatMap((key) => [key, key]));
  // The source was read completely: its damage is found, and filled in the same run.
  expect(await copyStates(installation, backup_id)).toBe("disk:CONFIRMED rgw:CONFIRMED");
  expect((await installation.ok("list", "--json")).json.backups[0].status).toBe("VERIFIED");
  expect((await installation.ok("alerts", "--json")).json.alerts).not.toContainEqual(
    expect.objectContaining({ key: `verify main/${installations.source} disk`, resolved_at: null }),
  );
  expect(await readFile(object)).toEqual(bytes);
});

const isObject: Hold = (request) => request.method === "PUT" && pathOf(request).endsWith(".dump.zst.enc");

test.each([
  ["before the first manifest", isObject],
  ["when the manifests are there", isManifest],
])("no copy is lost if the catalog's disk fills up once the copies are complete: %s", async (_, isIt) => {
  const lab = await rgw();
  await using proxy = startHttpProxy(lab.endpoint);
  const bucket = await lab.makeBucket();
  const installation = await install((dir) => [
    localStorage("disk", dir),
    s3Storage("r2", { ...lab, endpoint: proxy.endpoint }, bucket),
  ]);
  const state = join(installation.directory, "state");
  await mkdir(state, { mode: 0o700 });
  await using _mount = await mountTmpfs(state, 8);
  await installation.ok("list");
  const filler = join(state, "filler");
  let isFull = false;
  proxy.answer = async (request) => {
    const answer = await request.forward();
    if (isFull || !isIt(request)) return answer;
    isFull = true;
    await $`sh -c ${`cat /dev/zero > '${filler}'`}`.quiet().nothrow();
    return answer;
  };
  const { exitCode, stderr } = await installation.run("backup");
  expect({ isFull, exitCode, stderr }).toEqual({
    isFull: true,
    exitCode: expect.any(Number),
    stderr: expect.stringContaining("the disk is full"),
  });
  expect(exitCode).not.toBe(0);
  const keys = await keysIn({ name: "r2", lab, bucket });
  expect(keys).toHaveLength(2);
  expect(await keysIn({ name: "disk", directory: join(installation.directory, "disk") })).toEqual(keys);
  await rm(filler);
  await installation.ok("backup");
  const { backups } = (await installation.ok("list", "--json")).json;
  expect(backups.map(({ status }: { status: string }) => status)).toEqual(["VERIFIED", "VERIFIED"]);
  const { copies } = (await installation.ok("verify", "--all", "--json")).json;
  expect(copies).toHaveLength(4);
});

test("the remains of a marker whose writer was killed do not block the next writer", async () => {
  const installation = await install((dir) => [localStorage("disk", dir)]);
  const root = join(installation.directory, "disk");
  await writeFile(temporaryPath(root, MARKER_KEY), "half a mark");
  await installation.ok("backup");
  expect(readdirSync(root).sort()).toEqual(["main", MARKER_KEY]);
});
