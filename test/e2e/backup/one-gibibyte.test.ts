import { expect, test } from "bun:test";
import { Installation, localStorage } from "../../lab/installation.ts";
import { usePostgres } from "../../lab/servers/use-postgres.ts";

const postgres = usePostgres();

test("a database of 1 GiB, hardly compressible, is restored unchanged", async () => {
  const source = await postgres.createDatabase();
  await postgres
    .connect(source)
    .unsafe(`create extension pgcrypto;
      create table bulk as select i as id, encode(gen_random_bytes(750), 'base64') as text from generate_series(1, 1024 * 1024) i;
      alter table bulk add primary key (id)`)
    .simple();
  await using installation = await Installation.make({
    postgres: postgres.address,
    databases: [source],
    storages: (directory) => [localStorage("disk", directory)],
    more: '[compression]\nalgorithm = "zstd"\nlevel = 1',
  });
  const { backups } = (await installation.ok("backup", "--json")).json;
  expect(backups[0].dump_bytes).toBeGreaterThan(1024 ** 3);
  const target = postgres.newName();
  await installation.ok("restore", backups[0].backup_id, "--target", `main/${target}`, "--create");
  // The exact comparison of every object takes too long at this size.
  const facts = async (name: string) => [
    ...(await postgres.connect(name)`
      select count(*)::int as rows, sum(hashtextextended(text, id))::text as hash, pg_database_size(current_database()) > 1024 ^ 3 as is_large from bulk`),
  ];
  const restored = await facts(target);
  expect(restored).toEqual(await facts(source));
  expect(restored).toMatchObject([{ rows: 1024 * 1024, is_large: true }]);
}, 300_000);
