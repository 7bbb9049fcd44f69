import { expect, test } from "bun:test";
import { GetObjectRetentionCommand } from "@aws-sdk/client-s3";
import { runBackup } from "../../../src/jobs/backup/backup.ts";
import { runCleanup } from "../../../src/jobs/cleanup/cleanup.ts";
import { runRepair } from "../../../src/jobs/verify/repair.ts";
import { copyIn, LOCK, lockDays, locked } from "../../lab/locking.ts";
import { contextAhead, type Retained } from "../../lab/retained.ts";
import { startHttpProxy } from "../../lab/servers/http-proxy.ts";
import { rgw } from "../../lab/servers/s3.ts";
import { usePostgres } from "../../lab/servers/use-postgres.ts";

const postgres = usePostgres();
const YEARS_HOURS = 5 * 365 * 24;
const AHEAD = expect.stringMatching(/^this host's clock is \S.* ahead of that of storage "r2"/);

/** Expects that neither the object nor the manifest of a backup is locked. */
async function expectUnlocked(at: Retained, bucket: string, id: string): Promise<void> {
  const { client } = await rgw();
  const keys = await at.objects("r2", id);
  expect(keys).toHaveLength(2);
  for (const key of keys)
    await expect(
      client.send(new GetObjectRetentionCommand({ Bucket: bucket, Key: `pg321/${key}` })),
    ).rejects.toMatchObject({ name: "ObjectLockConfigurationNotFoundError" });
}

async function backupAhead(at: Retained, hours: number): Promise<string> {
  await using context = await contextAhead(at, hours);
  const { run } = await runBackup(context, []);
  const [backup] = await context.catalog.backups({ limit: 1 });
  expect(backup?.run_id).toBe(run.id);
  return backup?.id ?? "";
}

test("a backup by a clock that is years ahead makes no lock and says why", async () => {
  const settings = { r2: { ...LOCK, "lock.mode": "compliance" } };
  const { at, bucket } = await locked(postgres, { settings });
  await using _ = at;
  const id = await backupAhead(at, YEARS_HOURS);
  await expectUnlocked(at, bucket, id);
  expect(await copyIn(at, "r2", id)).toMatchObject({
    state: "CONFIRMED",
    locked_until: null,
    lock_error: AHEAD,
  });
  const [alert] = (await at.openAlerts()).filter(({ key }) => key === "lock storage r2");
  expect(alert?.message).toContain("no lock is made until the clock is right");
});

test("a lock ends by the server's clock if this host's differs by less than an hour", async () => {
  const { at, bucket } = await locked(postgres);
  await using _ = at;
  const id = await backupAhead(at, 0.9);
  expect(await lockDays(at, bucket, id)).toEqual([expect.closeTo(3, 2), expect.closeTo(3, 2)]);
  expect(await copyIn(at, "r2", id)).toMatchObject({ lock_mode: "governance", lock_error: null });
});

test("a repair by a clock that is years ahead makes no lock, and a cleanup by the right clock makes it", async () => {
  const { at, bucket } = await locked(postgres);
  await using _ = at;
  const id = await at.backup(0);
  await at.lose("r2", id);
  await at.installation.run("verify", id);
  {
    await using context = await contextAhead(at, YEARS_HOURS);
    const { results } = await runRepair(context);
    expect(await Array.fromAsync(results)).toMatchObject([{ outcome: "filled" }]);
  }
  await expectUnlocked(at, bucket, id);
  expect(await copyIn(at, "r2", id)).toMatchObject({ locked_until: null, lock_error: AHEAD });
  expect(await at.cleanup()).toMatchObject({ locks_renewed: 1 });
  expect(await lockDays(at, bucket, id)).toEqual([expect.closeTo(3, 1), expect.closeTo(3, 1)]);
  expect((await at.openAlerts()).map(({ key }) => key)).not.toContain("lock storage r2");
});

test("a clock that no storage vouches for makes no lock if the records speak against it", async () => {
  await using proxy = startHttpProxy((await rgw()).endpoint);
  const settings = { r2: { ...LOCK, endpoint: proxy.endpoint } };
  const { at, bucket } = await locked(postgres, { settings });
  await using _ = at;
  proxy.answer = async (request) => {
    const answer = await request.forward();
    answer.headers.set("date", "unknown");
    return answer;
  };
  const known = await at.backup(0);
  expect(await lockDays(at, bucket, known)).toEqual([expect.closeTo(3, 1), expect.closeTo(3, 1)]);
  const id = await backupAhead(at, YEARS_HOURS);
  await expectUnlocked(at, bucket, id);
  const lock_error = expect.stringContaining("nothing is recorded for more than");
  expect(await copyIn(at, "r2", id)).toMatchObject({ locked_until: null, lock_error });
});

test("a cleanup that a person confirms by a clock years ahead locks by the clock of the storage", async () => {
  const { at, bucket } = await locked(postgres);
  await using _ = at;
  const id = await at.backup(0);
  await at.installation.ok("hold", id);
  // One day more is to be seen in the lock, however coarse the storage's clock is in its answers.
  const { configFile } = at.installation;
  const config = await Bun.file(configFile).text();
  await Bun.write(configFile, config.replace("lock.days = 3", "lock.days = 4"));
  await using context = await contextAhead(at, YEARS_HOURS);
  const { statistics } = await runCleanup(context, {});
  expect(statistics).toMatchObject({ clock_suspected: true, locks_renewed: 0 });
  expect((await runCleanup(context, { confirm: statistics.plan_hash ?? "" })).statistics).toMatchObject({
    clock_suspected: true,
    locks_renewed: 1,
  });
  expect(await lockDays(at, bucket, id)).toEqual([expect.closeTo(4, 1), expect.closeTo(4, 1)]);
});
