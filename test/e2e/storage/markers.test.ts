import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { readdirSync } from "node:fs";
import { mkdir, readFile, rename, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { DeleteObjectCommand } from "@aws-sdk/client-s3";
import { $ } from "bun";
import { type Installation, localStorage, s3Storage } from "../../lab/installation.ts";
import { copyStates, keysIn, type Place } from "../../lab/leftovers.ts";
import { rgw } from "../../lab/servers/s3.ts";
import { usePostgres } from "../../lab/servers/use-postgres.ts";
import { useInstallations } from "../../lab/use-installations.ts";

setDefaultTimeout(120_000);

/** A storage is known by the marker in its place, not by its name, path or URL. */

const postgres = usePostgres();
const installations = useInstallations(postgres);
const { install } = installations;

const disk = (installation: Installation, name = "disk"): Place => ({
  name,
  directory: join(installation.directory, name),
});

const MARKER = "pg321-storage.json";

async function openAlerts(installation: Installation): Promise<{ key: string; level: string }[]> {
  const { alerts } = (await installation.ok("alerts", "--json")).json;
  return alerts.filter(({ resolved_at }: { resolved_at: string | null }) => resolved_at === null);
}

describe("two names for one place are refused, and nothing is lost", () => {
  async function expectRefused(installation: Installation, words: RegExp): Promise<void> {
    const { backups } = (await installation.ok("list", "--json")).json;
    // Without a backup there is nothing to verify, wherever the storages are.
    const verify = backups.length > 0 ? ["verify"] : [];
    for (const command of ["check", "backup", "repair", ...verify, "cleanup"]) {
      const { exitCode, stderr } = await installation.run(command);
      expect({ command, exitCode, stderr }).toEqual({
        command,
        exitCode: 2,
        stderr: expect.stringMatching(words),
      });
    }
    const doctor = await installation.run("doctor");
    expect(doctor.exitCode).toBe(2);
    expect(doctor.stdout).toMatch(words);
    expect(await openAlerts(installation)).toContainEqual(
      expect.objectContaining({ key: "storages in one place", level: "CRITICAL" }),
    );
  }

  const path = (directory: string, name: string) => localStorage(name, directory);

  test("a symbolic link", async () => {
    const installation = await install((dir) => [path(dir, "disk")]);
    await installation.ok("backup");
    const before = await keysIn(disk(installation));
    await symlink(join(installation.directory, "disk"), join(installation.directory, "link"));
    await installation.configure({ storages: (dir) => [path(dir, "disk"), path(dir, "link")] });
    await expectRefused(installation, /storages "disk" and "link" are the same place/);
    expect(await keysIn(disk(installation))).toEqual(before);
    await installation.configure({ storages: (dir) => [path(dir, "disk")] });
    await installation.ok("backup");
    expect(await openAlerts(installation)).toEqual([]);
    await installation.ok("verify", "--all");
  });

  test("a symbolic link, at the first backup", async () => {
    const installation = await install((dir) => [path(dir, "disk")]);
    await symlink(join(installation.directory, "disk"), join(installation.directory, "link"));
    await installation.configure({ storages: (dir) => [path(dir, "disk"), path(dir, "link")] });
    await expectRefused(installation, /storages "disk" and "link" are the same place/);
    expect(readdirSync(join(installation.directory, "disk"))).toEqual([]);
  });

  test("a directory inside another", async () => {
    const installation = await install((dir) => [
      path(dir, "disk"),
      localStorage("sub", join(dir, "disk", "below")),
    ]);
    await expectRefused(installation, /storage "sub" lies inside storage "disk"/);
  });

  test("a bind mount, and one of a directory inside", async () => {
    const installation = await install((dir) => [path(dir, "disk")]);
    const inside = join(installation.directory, "disk/inside");
    await mkdir(inside);
    for (const [name, what, words] of [
      ["whole", join(installation.directory, "disk"), /storages "disk" and "whole" are the same place/],
      ["part", inside, /storage "part" lies inside storage "disk"/],
    ] as const) {
      const mounted = join(installation.directory, name);
      await mkdir(mounted);
      await $`mount --bind ${what} ${mounted}`.quiet();
      installations.undo(() => $`umount ${mounted}`.quiet());
      await installation.configure({ storages: (dir) => [path(dir, "disk"), path(dir, name)] });
      await expectRefused(installation, words);
    }
  });

  test("a bucket under two spellings of its endpoint, and a prefix inside another", async () => {
    const lab = await rgw();
    const bucket = await lab.makeBucket();
    const other = { ...lab, endpoint: lab.endpoint.replace("127.0.0.1", "localhost") };
    const installation = await install(() => [s3Storage("one", lab, bucket)]);
    await installation.ok("backup");
    const before = await keysIn({ name: "one", lab, bucket });
    await installation.configure({
      storages: () => [s3Storage("one", lab, bucket), s3Storage("two", other, bucket)],
    });
    await expectRefused(installation, /storages "one" and "two" are the same place/);
    await installation.configure({
      storages: () => [
        s3Storage("one", lab, bucket),
        s3Storage("two", other, bucket, { prefix: "pg321/below" }),
      ],
    });
    await expectRefused(installation, /storage "two" lies inside storage "one"/);
    expect(await keysIn({ name: "one", lab, bucket })).toEqual(before);
  });
});

describe("a storage without its expected marker is left out", () => {
  test("an unmounted disk is not written to, and none of its copies counts as missing", async () => {
    const installation = await install((dir) => [localStorage("disk", dir), localStorage("mounted", dir)]);
    const mountPoint = join(installation.directory, "mounted");
    const image = join(installation.directory, "image");
    await $`truncate --size=64M ${image} && mkfs.ext4 -q ${image}`.quiet();
    const mount = () => $`mount -o loop ${image} ${mountPoint}`.quiet();
    const unmount = () => $`umount ${mountPoint}`.quiet();
    await mount();
    await installation.ok("backup");
    await unmount();

    const run = await installation.run("backup", "--json");
    expect(run.exitCode).toBe(3);
    expect(run.json.backups[0].copies).toContainEqual({
      storage: "mounted",
      state: "FAILED",
      error:
        'storage "mounted": its marker is missing: the disk may not be mounted, or the storage was emptied',
      hint: expect.stringContaining("pg321 storage accept mounted"),
    });
    const verified = await installation.run("verify", "--all", "--json");
    expect(verified.json.copies.map(({ verdict }: { verdict: string }) => verdict).sort()).toEqual([
      "good",
      "good",
      "unreachable",
    ]);
    expect((await installation.run("repair")).exitCode).toBe(3);
    expect((await installation.run("cleanup")).exitCode).not.toBe(0);
    expect(readdirSync(mountPoint)).toEqual([]);
    expect(await openAlerts(installation)).toContainEqual(
      expect.objectContaining({ key: "storage mounted", level: "CRITICAL" }),
    );
    const doctor = await installation.run("doctor");
    expect(doctor.exitCode).toBe(13);
    expect(doctor.stdout).toContain("pg321 storage accept mounted");

    await mount();
    installations.undo(unmount);
    await installation.ok("repair");
    await installation.ok("verify", "--all");
    expect(await openAlerts(installation)).not.toContainEqual(
      expect.objectContaining({ key: "storage mounted" }),
    );
  });

  test("a restore from an unmounted disk counts no copy as missing, and the newest backup stays the newest", async () => {
    const installation = await install((dir) => [localStorage("disk", dir)]);
    const ids: string[] = [];
    for (let count = 0; count < 2; count++) ids.push(await installation.backUp());
    const place = join(installation.directory, "disk");
    const words = [
      "latest",
      "--database",
      installations.source,
      "--output",
      join(installation.directory, "x"),
    ];
    await rename(place, `${place}.away`);
    await mkdir(place);
    for (let count = 0; count < 2; count++) {
      const restored = await installation.run("restore", ...words);
      expect(restored.exitCode).toBe(13);
      expect(restored.stderr).toContain("the disk may not be mounted");
    }
    for (const id of ids) expect(await copyStates(installation, id)).toBe("disk:CONFIRMED");
    expect(await openAlerts(installation)).toEqual([]);
    await rm(place, { recursive: true });
    await rename(`${place}.away`, place);
    await installation.ok("restore", ...words);
  });

  test("an emptied bucket, until somebody accepts it; then repair fills it", async () => {
    const lab = await rgw();
    const bucket = await lab.makeBucket();
    const installation = await install((dir) => [localStorage("disk", dir), s3Storage("r2", lab, bucket)]);
    const { backup_id } = (await installation.ok("backup", "--json")).json.backups[0];
    const r2: Place = { name: "r2", lab, bucket };
    for (const key of [...(await keysIn(r2)), MARKER])
      await lab.client.send(new DeleteObjectCommand({ Bucket: bucket, Key: `pg321/${key}` }));
    expect((await installation.run("repair")).stderr).toContain("its marker is missing");
    expect(await keysIn(r2)).toEqual([]);
    expect(await copyStates(installation, backup_id)).toBe("disk:CONFIRMED r2:CONFIRMED");
    const looked = (await installation.run("doctor", "--json")).json.findings;
    expect(looked.filter(({ subject }: { subject: string }) => subject === "r2")).toMatchObject([
      { verdict: "failed", message: expect.stringContaining("its marker is missing") },
    ]);
    const accepted = await installation.ok("storage", "accept", "r2");
    expect(accepted.stdout).toContain("new marker");
    expect(accepted.stderr).toBe("");
    expect((await installation.run("verify", "--all")).exitCode).toBe(14);
    await installation.ok("repair");
    expect(await copyStates(installation, backup_id)).toBe("disk:CONFIRMED r2:CONFIRMED");
    expect(await keysIn(r2)).toEqual(await keysIn(disk(installation)));
  });

  test("another disk in its place, or the marker of another installation, until it is accepted", async () => {
    const mine = await install((dir) => [localStorage("disk", dir)]);
    const theirs = await install((dir) => [localStorage("disk", dir)]);
    for (const installation of [mine, theirs]) await installation.ok("backup");
    const [here, there] = [mine, theirs].map(({ directory }) => join(directory, "disk")) as [string, string];
    await rename(here, `${here}.away`);
    await rename(there, here);
    const swapped = await mine.run("backup");
    expect(swapped.exitCode).toBe(13);
    expect(swapped.stderr).toContain("has the marker of another storage");
    await rename(here, there);
    await rename(`${here}.away`, here);

    // A host of another installation that is configured with a place in use.
    const third = await install(() => [localStorage("disk", theirs.directory)]);
    const before = await readFile(join(there, MARKER), "utf8");
    const refused = await third.run("backup");
    expect(refused.exitCode).toBe(13);
    expect(refused.stderr).toMatch(/belongs to another installation of pg321 \([0-9a-f-]{36}\)/);
    expect((await third.ok("storage", "accept", "disk")).stdout).toContain("its existing marker is used");
    await third.ok("backup");
    expect(await readFile(join(there, MARKER), "utf8")).toBe(before);
    await theirs.ok("backup");
  });

  test("a marker that cannot be read", async () => {
    const installation = await install((dir) => [localStorage("disk", dir)]);
    await installation.ok("backup");
    const marker = join(installation.directory, "disk", MARKER);
    for (const text of ["", "\ufeff{}", "[".repeat(400_000), "x".repeat(2_000_000)]) {
      await writeFile(marker, text);
      const { exitCode, stderr } = await installation.run("backup");
      expect({ exitCode, stderr }).toEqual({
        exitCode: 13,
        stderr: expect.stringContaining(`its marker ${MARKER} cannot be read`),
      });
    }
  });

  test("foreign files that are named like manifests name no installation", async () => {
    const installation = await install((dir) => [localStorage("disk", dir)]);
    const place = join(installation.directory, "disk");
    await mkdir(place, { recursive: true });
    await writeFile(join(place, "a.json"), Buffer.alloc(100, 0xff));
    await writeFile(join(place, "b.json"), '{"installation":"\\u001b[2J"}');
    await writeFile(join(place, "c.json"), "[".repeat(400_000));
    await installation.ok("backup");
    expect(await keysIn(disk(installation))).toContain("a.json");
  });

  test("a storage whose marker cannot be written is not accepted", async () => {
    const installation = await install((dir) => [localStorage("disk", dir, { min_free: "900TiB" })]);
    await mkdir(join(installation.directory, "disk"), { recursive: true });
    const { exitCode, stdout, stderr } = await installation.run("storage", "accept", "disk");
    expect({ exitCode, stdout }).toEqual({ exitCode: 13, stdout: "" });
    expect(stderr).toContain("must stay free (min_free)");
  });

  test("an unknown storage, and an unknown action: exit 2", async () => {
    const installation = await install((dir) => [localStorage("disk", dir)]);
    expect((await installation.run("storage", "accept", "dsik")).stderr).toContain("did you mean disk?");
    expect((await installation.run("storage", "refuse", "disk")).exitCode).toBe(2);
  });
});

describe("the records of a renamed storage get its new name", () => {
  async function move(installation: Installation, names: Record<string, string>): Promise<void> {
    // A storage's path in the config stays, only its name changes.
    await installation.configure({
      storages: (dir) =>
        Object.entries(names).map(([name, path]) =>
          localStorage(path, dir).replace(`"${path}"`, `"${name}"`),
        ),
    });
  }

  test("with a new name: repair continues and fills missing copies elsewhere", async () => {
    const installation = await install((dir) => [localStorage("disk", dir), localStorage("nas", dir)]);
    const { backup_id } = (await installation.ok("backup", "--json")).json.backups[0];
    for (const key of await keysIn(disk(installation, "nas")))
      await rm(join(installation.directory, "nas", key));
    await installation.run("verify", "--all");
    await move(installation, { hdd: "disk", nas: "nas" });
    await installation.ok("repair");
    expect(await copyStates(installation, backup_id)).toBe("hdd:CONFIRMED nas:CONFIRMED");
    await installation.ok("verify", "--all");
    const { storages } = (await installation.ok("status", "--json")).json;
    expect(storages.map(({ name }: { name: string }) => name).sort()).toEqual(["hdd", "nas"]);
  });

  test("with swapped names", async () => {
    const installation = await install((dir) => [localStorage("disk", dir), localStorage("nas", dir)]);
    const { backup_id } = (await installation.ok("backup", "--json")).json.backups[0];
    for (const key of await keysIn(disk(installation, "nas")))
      await rm(join(installation.directory, "nas", key));
    await installation.run("verify", "--all");
    expect(await copyStates(installation, backup_id)).toBe("disk:CONFIRMED nas:MISSING");
    await move(installation, { nas: "disk", disk: "nas" });
    expect((await installation.run("verify", "--all")).exitCode).toBe(14);
    expect(await copyStates(installation, backup_id)).toBe("disk:MISSING nas:CONFIRMED");
    await installation.ok("repair");
    expect(await copyStates(installation, backup_id)).toBe("disk:CONFIRMED nas:CONFIRMED");
  });

  test("with storages from before markers existed: they get theirs silently", async () => {
    const installation = await install((dir) => [localStorage("disk", dir), localStorage("nas", dir)]);
    const { backup_id } = (await installation.ok("backup", "--json")).json.backups[0];
    const { Database } = await import("bun:sqlite");
    using catalog = new Database(join(installation.directory, "state/catalog.db"));
    catalog.run("DELETE FROM storage_identities");
    catalog.close();
    for (const name of ["disk", "nas"]) await rm(join(installation.directory, name, MARKER));
    await move(installation, { hdd: "disk", nas: "nas" });
    await installation.ok("repair");
    expect(await copyStates(installation, backup_id)).toBe("hdd:CONFIRMED nas:CONFIRMED");
    for (const name of ["disk", "nas"])
      expect(readdirSync(join(installation.directory, name))).toContain(MARKER);
    expect(await openAlerts(installation)).toEqual([]);
  });

  test("but not if the name already has its own place", async () => {
    const installation = await install((dir) => [localStorage("disk", dir), localStorage("nas", dir)]);
    await installation.ok("backup");
    await move(installation, { nas: "disk" });
    const { exitCode, stderr } = await installation.run("backup");
    expect(exitCode).toBe(13);
    expect(stderr).toMatch(/its place belonged to storage .*disk.*, and its own former place is no storage/);
  });
});
