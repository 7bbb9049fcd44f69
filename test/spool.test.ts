import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../src/base/clock.ts";
import { Secret } from "../src/base/secret.ts";
import type { Catalog } from "../src/catalog/catalog.ts";
import { openCatalog } from "../src/catalog/open.ts";
import { eventually } from "./lab/machine/running.ts";
import { type CommitRelay, startCommitRelay } from "./lab/servers/commit-relay.ts";
import { usePostgres } from "./lab/servers/use-postgres.ts";
import { backupRecord, copyRecord } from "./suites/catalog/records.ts";

/** A catalog behind a relay, with the spool of one host. */

const postgres = usePostgres();
let relay: CommitRelay;
let directory: string;
beforeAll(async () => {
  relay = await startCommitRelay(postgres.address.port);
  directory = await mkdtemp(join(tmpdir(), "pg321-spool-"));
});
afterAll(async () => {
  await relay[Symbol.asyncDispose]();
  await rm(directory, { recursive: true });
});

/** A clock that can be moved, so that no test waits for the next look at the catalog. */
let movedMs = 0;
const clock = { ...systemClock, monotonicMs: () => systemClock.monotonicMs() + movedMs };

interface Place {
  url: string;
  direct: string;
  path: string;
}

async function newPlace(): Promise<Place> {
  const name = await postgres.createDatabase();
  const direct = postgres.url(name);
  const url = direct.replace(`:${postgres.address.port}/`, `:${relay.port}/`);
  return { direct, url: `${url}?sslmode=disable`, path: join(directory, `${name}.db`) };
}

function open({ url, path }: Place, host = "here"): Promise<Catalog> {
  return openCatalog(
    { type: "postgres", url: new Secret(url) },
    { clock, spool: { path, host, servers: ["main"] } },
  );
}

const openDirectly = ({ direct }: Place) =>
  openCatalog({ type: "postgres", url: new Secret(direct) }, { clock: systemClock });

const isUnreachable = (catalog: Catalog) => catalog.spool?.status().unreachable_since !== null;

async function untilBack(catalog: Catalog): Promise<void> {
  await eventually(async () => {
    movedMs += 5_000;
    await catalog.leases();
    return !isUnreachable(catalog);
  });
  expect(catalog.spool?.status().waiting).toBe(0);
}

test("while the catalog is unreachable records are kept here, and delivered in their order when it is back", async () => {
  const place = await newPlace();
  await using catalog = await open(place);
  await catalog.belongTo("installation");
  const before = backupRecord({ status: "VERIFIED" });
  await catalog.insertBackup(before);
  relay.cut();
  const backup = backupRecord({ started_at: "2026-01-02T00:00:00.000Z" });
  await catalog.insertBackup(backup);
  expect(catalog.spool?.status()).toMatchObject({ unreachable_since: expect.any(String), waiting: 1 });
  await catalog.putCopy(copyRecord(backup));
  await catalog.updateCopy(backup.id, "local", { state: "CONFIRMED", object_bytes: 7 });
  await catalog.updateBackup(backup.id, { status: "VERIFIED" });
  expect((await catalog.backups({})).map(({ id }) => id)).toEqual([backup.id, before.id]);
  expect(await catalog.installation()).toBe("installation");
  expect((await catalog.newestGood("main", "app", new Date()))?.id).toBe(backup.id);
  expect(catalog.spool?.status().waiting).toBe(4);
  relay.pass();
  await untilBack(catalog);
  await using other = await openDirectly(place);
  expect(await other.backup(backup.id)).toEqual({ ...backup, status: "VERIFIED" });
  expect(await other.copies(backup.id)).toEqual([
    copyRecord(backup, { state: "CONFIRMED", object_bytes: 7 }),
  ]);
  expect(await other.overview.copyTotals(new Date())).toMatchObject([{ copies: 1, bytes: 7 }]);
});
