import { expect, setDefaultTimeout, test } from "bun:test";
import { Installation, localStorage } from "../../lab/installation.ts";
import { usePostgres } from "../../lab/servers/use-postgres.ts";

setDefaultTimeout(60_000);

const postgres = usePostgres();

test("a dry run prints every obstacle with its hint", async () => {
  const role = `Sole owner ${crypto.randomUUID()}`;
  const source = await postgres.createDatabase();
  const inSource = postgres.connect(source);
  await inSource.unsafe(
    `create role "${role}"; create table kept (id int); alter table kept owner to "${role}"`,
  );
  await using installation = await Installation.make({
    postgres: postgres.address,
    databases: [source],
    storages: (directory) => [localStorage("disk", directory)],
  });
  await installation.ok("backup");
  await inSource.unsafe(`drop table kept; drop role "${role}"; create table other (id int)`);
  const words = ["restore", "-d", source, "--target", `main/${source}`];
  const dry = await installation.run(...words, "--dry-run");
  expect(dry.exitCode).toBe(10);
  expect(dry.stdout).toContain(`it lacks role "${role}"; nothing was changed`);
  expect(dry.stdout).toContain(`CREATE ROLE "${role}";`);
  expect(dry.stdout).toMatch(/is not empty \(1 relation.*\nhint: restore into a new database with --create/);
  const { obstacles } = (await installation.run(...words, "--dry-run", "--json")).json;
  expect(obstacles.map(({ kind }: { kind: string }) => kind)).toEqual(["lacks", "contents"]);
  expect((await installation.run(...words)).stderr).toContain("--dry-run shows 1 more obstacle");
});
