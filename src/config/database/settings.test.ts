import { describe, expect, test } from "bun:test";
import { loadToml, MINIMAL, mistakes } from "../../../test/fixtures/config-file.ts";
import { compressionFor, keepIn, restoreTestFor, selectionFor, storagesFor } from "./settings.ts";

const TWO = `${MINIMAL}[[storage]]\nname = "usb"\ntype = "local"\npath = "/srv/usb"\n`;
const LINE = TWO.split("\n").length;

describe("settings of [[database]] tables", () => {
  test("a name wins over a glob, then a server over none, then the later table, key by key", async () => {
    const config = await loadToml(`${TWO}
[[database]]
server = "main"
name = "shop"
exclude_tables = ["a"]
[[database]]
name = "shop"
exclude_tables = ["b"]
schema_only = true
[[database]]
name = "s*"
exclude_tables = ["c"]
storages = ["usb"]
[[database]]
name = "*"
storages = ["disk"]
compression = { algorithm = "gzip" }
`);
    expect(selectionFor(config, "main", "shop")).toMatchObject({ exclude_tables: ["a"], schema_only: true });
    expect(selectionFor(config, "other", "shop").exclude_tables).toEqual(["b"]);
    expect(selectionFor(config, "main", "sales").exclude_tables).toEqual(["c"]);
    // Both are globs: the later one wins.
    expect(storagesFor(config, "main", "shop")).toEqual(["disk"]);
    expect(compressionFor(config, "main", "shop")).toEqual({ algorithm: "gzip", level: 6 });
    expect(config.database[0]?.lines).toMatchObject({ "": LINE + 1, exclude_tables: LINE + 4 });
  });

  test("a glob and a name that looks like one are told apart", async () => {
    const config = await loadToml(
      `${MINIMAL}[[database]]\nname = "*"\nschema_only = true\n[[database]]\nname = "=*"\nschema_only = false\n` +
        '[[database]]\nname = "\\\\[x\\\\]"\nexclude_tables = ["t"]\n',
    );
    expect(selectionFor(config, "main", "app").schema_only).toBe(true);
    expect(selectionFor(config, "main", "*").schema_only).toBe(false);
    expect(selectionFor(config, "main", "[x]").exclude_tables).toEqual(["t"]);
    expect(selectionFor(config, "main", "x").exclude_tables).toEqual([]);
  });

  test("included tables of the winning table replace included schemas of another", async () => {
    const config = await loadToml(
      `${MINIMAL}[[database]]\nname = "*"\ninclude_schemas = ["app"]\n[[database]]\nname = "shop"\ninclude_tables = ["t"]\n`,
    );
    expect(selectionFor(config, "main", "shop")).toMatchObject({
      include_schemas: [],
      include_tables: ["t"],
    });
    expect(selectionFor(config, "main", "other")).toMatchObject({
      include_schemas: ["app"],
      include_tables: [],
    });
  });

  test("keep holds for every storage except archives", async () => {
    const config = await loadToml(
      `${TWO.replace('path = "/srv/backup"', 'path = "/srv/backup"\nexpire = { archive_to = "usb" }\nkeep = { days = 20 }')}[[database]]\nname = "shop"\nkeep = { days = 3, weekly = 2 }\nstorages = ["disk"]\n`,
    );
    const [disk, usb] = config.storage;
    if (!disk || !usb) throw new Error("two storages");
    expect(keepIn(config, disk, "main", "shop")).toMatchObject({ days: 3, weekly: 2 });
    expect(keepIn(config, usb, "main", "shop").days).toBe(30);
    expect(keepIn(config, disk, "main", "app").days).toBe(20);
  });

  test("settings of restore tests are taken key by key", async () => {
    const config = await loadToml(
      `${MINIMAL}[[database]]\nname = "*"\nrestore_test = { skip_extensions = ["timescaledb"] }\n[[database]]\nname = "shop"\nrestore_test.excluded = true\n` +
        '[[database.restore_test.check]]\nname = "orders"\nsql = "select 1"\nexpect = 1\n',
    );
    expect(restoreTestFor(config, "main", "shop")).toMatchObject({
      excluded: true,
      skip_extensions: ["timescaledb"],
      check: [{ name: "orders", sql: "select 1", expect: "1" }],
    });
  });

  test("every mistake is reported with its line and key", async () => {
    expect(
      await mistakes(`${MINIMAL}[[database]]
name = "shop"
server = "mian"
storages = ["disk", "dsik"]
schedule = "61 * * * *"
include_tables = ["a.b.c"]
pg_dump_options = ["--format=plain", "-Fp", "--no-comments=1", "--made-up", "--no-comments"]
[[database]]
name = "=shop"
server = "mian"
keep = { last = 3 }
compression = { algorithm = "none", level = 2 }
nmae = "x"
`).then((all) => all.map((one) => one.replace(/, expected .*|expected one of .*/, ""))),
    ).toEqual([
      '11 database[0].server: found "mian"',
      '12 database[0].storages[1]: found "dsik"',
      '13 database[0].schedule: found "61 * * * *" (text)',
      '14 database[0].include_tables[0]: found "a.b.c" (text)',
      "15 database[0].pg_dump_options[0]: --format is refused: pg321 needs the custom format, which pg_restore reads",
      "15 database[0].pg_dump_options[1]: -F is refused: pg321 needs the custom format, which pg_restore reads",
      "15 database[0].pg_dump_options[2]: found a value after --no-comments, which takes none",
      '15 database[0].pg_dump_options[3]: found "--made-up", which is not an option that pg321 passes to pg_dump; ',
      "17 database[1].name: found the databases of another [[database]] table: put all keys into one table",
      '18 database[1].server: found "mian"',
      "19 database[1].keep.days: missing",
      '20 database[1].compression.level: not allowed with algorithm "none", which has no levels',
      '21 database[1].nmae: not a key of a [[database]] table; did you mean "name"?',
    ]);
  });

  test("an extension is selected only beside tables, because pg_dump would drop much else", async () => {
    const [problem, ...more] = await mistakes(
      `${MINIMAL}[[database]]\nname = "shop"\npg_dump_options = ["--extension=hstore"]\n`,
    );
    expect(more).toEqual([]);
    expect(problem).toContain(
      "database[0].pg_dump_options[0]: --extension=hstore is refused: without include_tables",
    );
    expect(problem).toContain("large objects");
    await loadToml(
      `${MINIMAL}[[database]]\nname = "shop"\ninclude_tables = ["a"]\npg_dump_options = ["--extension=hstore"]\n`,
    );
  });

  test("keep must fit the storages", async () => {
    const s3 = (more: string) =>
      `${MINIMAL}[[storage]]\nname = "r2"\ntype = "s3"\nprovider = "aws"\nregion = "eu-central-1"\nbucket = "backups"\naccess_key_id = "AK"\nsecret_access_key = "SK"\n${more}\n[[database]]\nname = "shop"\nkeep = { days = 3 }\n`;
    expect((await mistakes(s3('expire = "provider-lifecycle"')))[0]).toContain(
      'keep: storage "r2" leaves its deletions to the provider\'s lifecycle rule',
    );
    expect((await mistakes(s3('lock = { mode = "governance", days = 7 }')))[0]).toContain(
      'keep: days is 3, less than lock.days (7) of storage "r2"',
    );
    await loadToml(`${s3('expire = "provider-lifecycle"')}storages = ["disk"]\n`);
  });
});
