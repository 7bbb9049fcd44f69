import { expect, setDefaultTimeout, test } from "bun:test";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { localStorage } from "../../lab/installation.ts";
import { withCatalog } from "../../lab/leftovers.ts";
import { type Retained, retained } from "../../lab/retained.ts";
import { usePostgres } from "../../lab/servers/use-postgres.ts";

/** An archive (`expire.archive_to`) gets the globals of the dumps that it keeps. */

setDefaultTimeout(120_000);
const postgres = usePostgres();

/** `asMade` dates them back to when they began by their headers, which are checked when they are read. */
async function pairOf(at: Retained, ageDays: number) {
  const { backups, globals } = (await at.installation.ok("backup", "--json")).json;
  const pair: Record<"dump" | "globals", string> = {
    dump: backups[0].backup_id,
    globals: globals[0].backup_id,
  };
  const made = await Promise.all([pair.globals, pair.dump].map((id) => at.record(id)));
  const asMade = () =>
    withCatalog(at.installation, async (catalog) => {
      for (const one of made) if (one) await catalog.updateBackup(one.id, { started_at: one.started_at });
    });
  if (ageDays > 0) for (const id of [pair.globals, pair.dump]) await at.age(id, ageDays);
  return { ...pair, asMade };
}

test("archived dumps take their globals along, which stay as long as a dump there needs them", async () => {
  await using at = await retained(postgres, {
    settings: { disk: { "expire.archive_to": "attic" } },
    others: (directory) => [localStorage("attic", directory, { "keep.days": 1000 })],
    globals: true,
  });
  const { installation } = at;
  const old = await pairOf(at, 31);
  await pairOf(at, 0);
  const preview = await at.cleanup("--dry-run");
  expect(preview.notes).toEqual([
    {
      storage: "attic",
      key: (await at.record(old.globals))?.object_key,
      note: "would be archived too: dumps in this storage need these globals",
    },
  ]);
  expect(await at.states(old.globals)).toBe("disk:CONFIRMED");
  const first = await at.cleanup();
  expect(first).toMatchObject({ exitCode: 0, storages: { disk: { archived: 1 } } });
  expect(first.notes).toMatchObject([
    { storage: "attic", note: expect.stringContaining("need these globals") },
  ]);
  expect(await at.states(old.dump)).toBe("attic:CONFIRMED disk:DELETED");
  expect(await at.states(old.globals)).toBe("attic:CONFIRMED disk:CONFIRMED");
  expect((await at.record(old.globals))?.status).toBe("VERIFIED");
  expect(await at.cleanup("--dry-run")).toMatchObject({ notes: [] });
  expect(await at.cleanup()).toMatchObject({ exitCode: 0, notes: [] });

  // Repair heals them there, and verification reads them.
  const { object_key = "" } = (await at.record(old.globals)) ?? {};
  await writeFile(join(installation.directory, "attic", object_key), "damaged");
  await old.asMade();
  expect((await installation.run("verify", old.globals)).exitCode).toBe(14);
  expect((await installation.ok("repair", "--json")).json.copies).toMatchObject([{ storage: "attic" }]);
  await installation.ok("verify", old.globals);

  // The archive alone is enough.
  const words = ["restore", old.dump, "--with-globals", "--from", "attic", "--create"];
  const { json } = await installation.ok(...words, "--target", "main/from_attic", "--dry-run", "--json");
  expect(json.globals.backup_id).toBe(old.globals);

  await at.age(old.dump, 31);
  await at.age(old.globals, 1001);
  expect((await at.cleanup()).exitCode).toBe(0);
  expect(await at.states(old.globals)).toBe("attic:CONFIRMED disk:CONFIRMED");
  await at.age(old.dump, 1001);
  for (let run = 0; run < 3; run++) expect((await at.cleanup()).exitCode).toBe(0);
  expect(await at.record(old.dump)).toBeUndefined();
  expect(await at.record(old.globals)).toBeUndefined();
});

test("dumps that were archived before get theirs with the next cleanup, also the first ones after them", async () => {
  await using at = await retained(postgres, {
    settings: { disk: { "expire.archive_to": "attic" } },
    others: (directory) => [localStorage("attic", directory, { "keep.days": 1000 })],
  });
  const dump = await at.backup(31);
  await at.backup(0);
  await at.cleanup();
  expect(await at.states(dump)).toBe("attic:CONFIRMED disk:DELETED");
  await at.installation.configure({ globals: true });
  const first = await pairOf(at, 0);
  expect((await at.cleanup()).exitCode).toBe(0);
  expect(await at.states(first.globals)).toBe("attic:CONFIRMED disk:CONFIRMED");
  const second = await pairOf(at, 0);
  await at.age(first.dump, 40);
  await at.age(first.globals, 30.5);
  await at.cleanup();
  // They are needed by the dumps from before.
  expect(await at.states(first.globals)).toBe("attic:CONFIRMED disk:CONFIRMED");
  expect(await at.states(second.globals)).toBe("disk:CONFIRMED");
});
