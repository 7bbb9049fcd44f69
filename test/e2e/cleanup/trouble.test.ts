import { describe, expect, test } from "bun:test";
import { mkdtempSync, rmdirSync } from "node:fs";
import { rename, rmdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { $ } from "bun";
import { runCleanup } from "../../../src/jobs/cleanup/cleanup.ts";
import { localStorage } from "../../lab/installation.ts";
import { leftovers } from "../../lab/leftovers.ts";
import { pgDumpOf, watched } from "../../lab/machine/running.ts";
import { BRIEFLY, brieflyKept, contextAhead, retained } from "../../lab/retained.ts";
import { freePort } from "../../lab/servers/free-port.ts";
import { startHttpProxy } from "../../lab/servers/http-proxy.ts";
import { allowAll, deny, rgw } from "../../lab/servers/s3.ts";
import { usePostgres } from "../../lab/servers/use-postgres.ts";

const postgres = usePostgres();

function canMount(): boolean {
  const where = mkdtempSync(join(tmpdir(), "pg321-mount-"));
  const { exitCode } = Bun.spawnSync(["sh", "-c", `mount -t tmpfs tmpfs ${where} && umount ${where}`]);
  rmdirSync(where);
  return exitCode === 0;
}

describe("problems during a run", () => {
  test("a storage that does not answer: copies that rely on it are held, other storages are cleaned up", async () => {
    await using at = await brieflyKept(postgres);
    const [old, newest] = [await at.backup(3), await at.backup(2)];
    const lab = await rgw();
    const endpoint = `http://127.0.0.1:${await freePort()}`;
    const lines = (await Bun.file(at.installation.configFile).text()).replaceAll(lab.endpoint, endpoint);
    await Bun.write(at.installation.configFile, lines);
    const { exitCode, storages } = await at.cleanup();
    expect(exitCode).toBe(3);
    expect(storages).toMatchObject({ disk: { deleted: 0, held: 2 }, r2: { deleted: 0 } });
    expect(await at.objects("disk", newest)).toHaveLength(2);
    expect(await at.objects("disk", old)).toHaveLength(2);
    await Bun.write(at.installation.configFile, lines.replaceAll(endpoint, lab.endpoint));
    expect((await at.cleanup()).storages.disk.deleted).toBeGreaterThan(0);
  });

  test("a local directory that has disappeared is reported, and the bucket is still cleaned up", async () => {
    await using at = await brieflyKept(postgres);
    const old = await at.backup(2);
    await at.backup(0);
    const disk = join(at.installation.directory, "disk");
    await rename(disk, `${disk}.away`);
    const { exitCode, storages, errors } = await at.cleanup();
    expect(exitCode).toBe(3);
    expect(storages).toMatchObject({ disk: { failed: 1, deleted: 0 }, r2: { deleted: 1, failed: 0 } });
    expect(errors[0]).toMatchObject({ storage: "disk", error: expect.stringContaining("does not exist") });
    expect(await at.states(old)).toBe("disk:CONFIRMED r2:DELETED");
    await rename(`${disk}.away`, disk);
    expect(await at.cleanup()).toMatchObject({ exitCode: 0, records_deleted: 1 });
  });

  // Root ignores file modes, so a mount is needed, which a container may not allow.
  test.if(canMount())(
    "a disk that has become read-only is reported, and a later run finishes the removal",
    async () => {
      await using at = await retained(postgres, { settings: BRIEFLY });
      const disk = join(at.installation.directory, "disk");
      await $`mount -t tmpfs -o size=64m,mode=700 tmpfs ${disk}`.quiet();
      try {
        const old = await at.backup(2);
        await at.backup(0);
        await $`mount -o remount,ro ${disk}`.quiet();
        const { exitCode, errors } = await at.cleanup();
        expect(exitCode).toBe(13);
        expect(errors[0].error).toContain("read-only");
        expect(await at.states(old)).toBe("disk:DELETING");
        expect(await at.openAlerts()).toMatchObject([
          { job: "cleanup", level: "CRITICAL", metadata: { errors } },
        ]);
        await $`mount -o remount,rw ${disk}`.quiet();
        expect(await at.cleanup()).toMatchObject({ exitCode: 0, records_deleted: 1 });
      } finally {
        await $`umount ${disk}`.quiet();
      }
    },
  );

  test("a run killed between deletion and record is finished by the next; a second run at the same time is refused", async () => {
    const lab = await rgw();
    await using proxy = startHttpProxy(lab.endpoint);
    await using at = await brieflyKept(postgres);
    const old = await at.backup(2);
    await at.backup(0);
    const file = at.installation.configFile;
    const direct = await Bun.file(file).text();
    await Bun.write(file, direct.replaceAll(lab.endpoint, proxy.endpoint));
    let isDeleted = false;
    proxy.answer = async ({ method, target, forward }) => {
      if (isDeleted) return new Promise<Response>(() => {});
      const answer = await forward();
      if (method === "DELETE" && !target.includes(".json")) isDeleted = true;
      return answer;
    };
    const running = watched(at.installation.start("cleanup"));
    await running.until("the object is deleted", () => isDeleted);
    await Bun.write(file, direct);
    const second = await at.installation.run("cleanup");
    expect(second.exitCode).toBe(11);
    expect(second.stderr).toContain("held by run");
    running.kill("SIGKILL");
    await running.ended;
    expect(await at.states(old)).toBe("disk:DELETED r2:DELETING");
    expect(await at.objects("r2", old)).toEqual([]);
    const { exitCode, storages, records_deleted } = await at.cleanup();
    expect({ exitCode, records_deleted }).toEqual({ exitCode: 0, records_deleted: 1 });
    expect(storages.r2).toMatchObject({ deleted: 1, failed: 0 });
    expect(await leftovers(at.installation, [...at.places.values()])).toEqual([]);
  });

  test("a removal that was begun is not finished if it would remove what is now the last copy", async () => {
    const lab = await rgw();
    const bucket = await lab.makeBucket();
    await using at = await brieflyKept(postgres, { buckets: { r2: bucket } });
    const [old, newest] = [await at.backup(2), await at.backup(0)];
    await deny(lab, bucket, "s3:DeleteObject", "s3:DeleteObjectVersion");
    expect((await at.cleanup()).storages.r2).toMatchObject({ failed: 1 });
    expect(await at.states(old)).toBe("disk:DELETED r2:DELETING");
    await allowAll(lab, bucket);
    for (const storage of ["disk", "r2"]) await at.lose(storage, newest);
    const { exitCode, storages } = await at.cleanup();
    expect(exitCode).toBe(3);
    expect(storages.r2).toMatchObject({ deleted: 0, held: 1 });
    expect(await at.objects("r2", old)).toHaveLength(2);
    const third = await at.backup(0);
    expect(await at.cleanup()).toMatchObject({ storages: { r2: { deleted: 1 } } });
    expect(await at.objects("r2", third)).toHaveLength(2);
  });

  test("a removal that was begun is not finished while the backup is on hold", async () => {
    const lab = await rgw();
    const bucket = await lab.makeBucket();
    await using at = await brieflyKept(postgres, { buckets: { r2: bucket } });
    const old = await at.backup(2);
    await at.backup(0);
    await deny(lab, bucket, "s3:DeleteObject", "s3:DeleteObjectVersion");
    expect((await at.cleanup()).storages.r2).toMatchObject({ failed: 1 });
    expect(await at.states(old)).toBe("disk:DELETED r2:DELETING");
    await allowAll(lab, bucket);
    await at.installation.ok("hold", old);
    const { exitCode, storages, notes } = await at.cleanup();
    expect(exitCode).toBe(0);
    expect(storages.r2).toMatchObject({ deleted: 0, held: 1 });
    expect(notes[0].note).toContain("on hold");
    expect(await at.objects("r2", old)).toHaveLength(2);
    await at.installation.ok("unhold", old);
    expect(await at.cleanup()).toMatchObject({ records_deleted: 1, storages: { r2: { deleted: 1 } } });
  });

  test("a directory that is gone is reported once", async () => {
    await using at = await retained(postgres, { others: (directory) => [localStorage("usb", directory)] });
    await rmdir(join(at.installation.directory, "usb"));
    const backup = await at.installation.run("backup");
    expect(backup.exitCode).toBe(3);
    const mentions = (text: string) => text.split("does not exist").length - 1;
    expect(mentions(backup.stderr.replaceAll(/^error.*$/gm, ""))).toBe(1);
    const { errors } = await at.cleanup();
    expect(errors).toEqual([{ storage: "usb", key: null, error: expect.stringContaining("does not exist") }]);
    const [alert] = await at.openAlerts().then((all) => all.filter(({ job }) => job === "cleanup"));
    expect(alert?.message).toStartWith(
      "cleanup was incomplete: 0 copies and 0 records removed; 1 error, first: ",
    );
  });

  test("a database that is being backed up is left for the next run", async () => {
    const database = await postgres.createDatabase();
    await using at = await retained(postgres, { databases: [database], settings: BRIEFLY });
    const sql = postgres.connect(database);
    await sql`create table busy (id int)`;
    const old = await at.backup(2);
    await at.backup(0);
    const release = Promise.withResolvers<void>();
    const locked = Promise.withResolvers<void>();
    const lock = sql.begin(async (transaction) => {
      await transaction`lock table busy in access exclusive mode`;
      locked.resolve();
      await release.promise;
    });
    await locked.promise;
    const running = watched(at.installation.start("backup"));
    await running.until("pg_dump waits for the lock", () => pgDumpOf(running.pid) !== undefined);
    const { exitCode, storages, notes } = await at.cleanup();
    expect(exitCode).toBe(0);
    expect(storages.disk).toMatchObject({ expired: 1, deleted: 0, held: 1, failed: 0 });
    expect(notes[0].note).toContain("held by run");
    expect(await at.objects("disk", old)).toHaveLength(2);
    release.resolve();
    await lock;
    expect((await running.ended).exitCode).toBe(0);
    expect((await at.cleanup()).storages.disk).toMatchObject({ deleted: 1 });
  });

  test("nothing expires while the clock differs from the storage's by more than an hour", async () => {
    await using at = await brieflyKept(postgres);
    const old = await at.backup(2);
    await at.backup(0);
    await using context = await contextAhead(at, 2);
    const { run, statistics } = await runCleanup(context, {});
    expect(run?.outcome).toBe("PARTIAL");
    expect(statistics).toMatchObject({ clock_suspected: true, storages: { disk: { deleted: 0, held: 1 } } });
    expect(statistics.suspended[0]).toContain("clock");
    expect(await at.states(old)).toBe("disk:CONFIRMED r2:CONFIRMED");
  });
});
