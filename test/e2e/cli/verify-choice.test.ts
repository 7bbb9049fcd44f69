import { expect, setDefaultTimeout, test } from "bun:test";
import { Installation, localStorage } from "../../lab/installation.ts";
import { usePostgres } from "../../lab/servers/use-postgres.ts";

setDefaultTimeout(60_000);

const postgres = usePostgres();

test("verify reads the newest backups, as the schedule does, or all of them, and says first how much", async () => {
  const databases = [await postgres.createDatabase(), await postgres.createDatabase()];
  const [first = ""] = databases;
  await using installation = await Installation.make({
    postgres: postgres.address,
    databases,
    storages: (directory) => [localStorage("disk", directory), localStorage("usb", directory)],
  });
  await installation.ok("backup");
  const { backups } = (await installation.ok("backup", "--json")).json;
  const newest = backups.map(({ backup_id }: { backup_id: string }) => backup_id).sort();
  const read = async (...words: string[]) => {
    const { json, stderr } = await installation.ok("verify", "--json", ...words);
    const ids = json.copies.map(({ backup_id }: { backup_id: string }) => backup_id);
    return { ids: [...new Set(ids)].sort(), copies: ids.length, stderr };
  };

  const usual = await read();
  expect(usual).toMatchObject({ ids: newest, copies: 4 });
  expect(usual.stderr).toMatch(/reading 4 copies, [\d.]+ KiB: disk [\d.]+ KiB, usb [\d.]+ KiB \(.*--all/);
  const all = await read("--all");
  expect(all).toMatchObject({ ids: expect.arrayContaining(newest), copies: 8 });
  expect(all.stderr).toContain("reading 8 copies, ");
  expect(await read("-d", first)).toMatchObject({ copies: 2 });
  expect(await read("-d", `main/${first}`, "--all")).toMatchObject({ copies: 4 });
  const one = await read("--all", "--storage", "usb");
  expect(one).toMatchObject({ copies: 4 });
  expect(one.stderr).toMatch(/reading 4 copies, [\d.]+ KiB: usb [\d.]+ KiB$/m);
  for (const words of [["--all"], ["-d", first]])
    expect((await installation.run("verify", newest[0], ...words)).exitCode).toBe(2);
});
