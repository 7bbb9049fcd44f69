import { expect, test } from "bun:test";
import fc from "fast-check";
import type { ArchiveEntry } from "../archive/format.ts";
import { canBeNamed, patternsFor } from "./patterns.ts";
import type { PlanInput, SnapshotRelation } from "./plan.ts";
import { entryKey, planTasks } from "./plan.ts";

const MIB = 1024 * 1024;

function entry(description: string, tag: string, namespace: string | undefined = "public"): ArchiveEntry {
  return { description, tag, namespace } as ArchiveEntry;
}

function relation(oid: number, name: string, owner: number | null = null): SnapshotRelation {
  return { oid, schema: "public", name, filenode: oid, owner };
}

function plan(input: Partial<PlanInput>) {
  const all = { entries: [], relations: [], sizes: new Map(), largeObjectBytes: 0, jobs: 2, ...input };
  return planTasks(all);
}

/** The tasks of a plan that must be made. */
function planned(input: Partial<PlanInput>) {
  const tasks = plan(input);
  if (!tasks) throw new Error("nothing is planned");
  return tasks;
}

/** The limit of names for the arguments of one pg_dump. */
const NAMES_MAX = 8_000;

/** The relations that the options of a task name. */
function namesIn(options: readonly string[]): number {
  const names = options.flatMap((option) => [...option.matchAll(/"([^"]+)"/g)].map(([, name]) => name));
  return names.filter((name) => name !== "public").length;
}

test("a pattern quotes names whole, and holds the tables of one schema", () => {
  const relations = [
    { schema: "a.b", name: 'x"*' },
    { schema: "a.b", name: "y?|z" },
    { schema: "c", name: "$" },
  ];
  expect(patternsFor(relations)).toEqual(['"a.b"."x""*"|"y?|z"', '"c"."$"']);
});

test("no pattern is longer than an argument may be", () => {
  const relations = Array.from({ length: 5000 }, (_, i) => ({ schema: "s", name: `${i}`.padEnd(63, '"') }));
  const patterns = patternsFor(relations);
  expect(Math.max(...patterns.map((pattern) => Buffer.byteLength(pattern)))).toBeLessThan(128 * 1024);
  expect(patterns.join("").match(/\d+"/g)?.length).toBe(5000);
});

test("a table or sequence may be called like a large object", () => {
  const tasks = plan({
    entries: [entry("TABLE DATA", "LARGE OBJECT 1"), entry("SEQUENCE SET", "LARGE OBJECTS")],
    relations: [relation(1, "LARGE OBJECT 1"), relation(2, "LARGE OBJECTS")],
  });
  expect(tasks?.flatMap(({ options }) => options)).toEqual([
    '--table="public"."LARGE OBJECTS"|"LARGE OBJECT 1"',
  ]);
});

test("names beyond ASCII can be written only in UTF8", () => {
  const relations = [{ schema: "public", name: "größe" }];
  expect(canBeNamed(relations, "UTF8")).toBe(true);
  expect(canBeNamed(relations, "LATIN1")).toBe(false);
  expect(canBeNamed([{ schema: "s", name: "t\n" }], "LATIN1")).toBe(true);
});

test("large tables are tasks of their own, the largest first, after the group of the smallest with the sequences", () => {
  const sizes = [1000, 1, 300, 2, 500, 3].map((mib) => mib * MIB);
  const tasks = plan({
    entries: [...sizes.map((_, i) => entry("TABLE DATA", `t${i}`)), entry("SEQUENCE SET", "s")],
    relations: [...sizes.map((_, i) => relation(i + 1, `t${i}`)), relation(99, "s")],
    sizes: new Map(sizes.map((bytes, i) => [i + 1, bytes])),
  });
  expect(tasks?.map(({ options }) => options)).toEqual([
    ['--table="public"."s"|"t5"|"t3"|"t1"'],
    ['--table="public"."t0"'],
    ['--table="public"."t4"'],
    ['--table="public"."t2"'],
  ]);
});

test("a table takes its own sequences along, but none that the dump does not contain", () => {
  const tasks = plan({
    entries: [entry("TABLE DATA", "t"), entry("SEQUENCE SET", "t_id_seq")],
    relations: [relation(1, "t"), relation(2, "t_id_seq", 1), relation(3, "excluded", 1)],
  });
  expect(tasks?.map(({ options }) => options)).toEqual([
    ['--table="public"."t"', '--exclude-table-data="public"."excluded"'],
  ]);
});

test("the sequences of a table without data in the dump are dumped with it, but not its data", () => {
  const tasks = plan({
    entries: [entry("SEQUENCE SET", "p_id_seq"), entry("SEQUENCE SET", "p_other")],
    relations: [relation(1, "p"), relation(2, "p_id_seq", 1), relation(3, "p_other", 1)],
  });
  expect(tasks).toMatchObject([
    { options: ['--table="public"."p"', '--exclude-table-data="public"."p"'], entries: { length: 2 } },
  ]);
});

test("large objects are dumped with a group of small tables, or alone without any table", () => {
  const blobs = entry("BLOBS", "BLOBS", undefined);
  expect(plan({ entries: [blobs], largeObjectBytes: 100 * MIB })?.map(({ options }) => options)).toEqual([
    ["--exclude-table-data=*.*", "--blobs"],
  ]);
  const tables = { entries: [blobs, entry("TABLE DATA", "t")], relations: [relation(1, "t")] };
  expect(plan(tables)?.map(({ options }) => options)).toEqual([['--table="public"."t"', "--blobs"]]);
});

test("data of an unknown kind, or of a table that the snapshot does not show, is not planned", () => {
  expect(plan({ entries: [entry("STRANGE DATA", "t")], relations: [relation(1, "t")] })).toBeUndefined();
  expect(plan({ entries: [entry("TABLE DATA", "t")] })).toBeUndefined();
});

test("every entry is in exactly one task, the large ones first", async () => {
  const tables = fc.array(
    fc.record({ size: fc.integer({ min: 0, max: 2 ** 36 }), sequences: fc.integer({ min: 0, max: 3 }) }),
    { maxLength: 40 },
  );
  fc.assert(
    fc.property(tables, fc.integer({ min: 1, max: 8 }), fc.nat(50), (all, jobs, free) => {
      const entries: ArchiveEntry[] = [];
      const relations: SnapshotRelation[] = [];
      const sizes = new Map<number, number>();
      const add = (description: string, owner: number | null) => {
        const oid = relations.length + 1;
        relations.push(relation(oid, `r${oid}`, owner));
        entries.push(entry(description, `r${oid}`));
        return oid;
      };
      for (const { size, sequences } of all) {
        const oid = add("TABLE DATA", null);
        sizes.set(oid, size);
        for (let i = 0; i < sequences; i++) add("SEQUENCE SET", oid);
      }
      for (let i = 0; i < free; i++) add("SEQUENCE SET", null);
      const tasks = planned({ entries, relations, sizes, jobs });
      expect(tasks.flatMap((task) => task.entries).sort()).toEqual(entries.map(entryKey).sort());
      const later = tasks.slice(1).map(({ bytes }) => bytes);
      expect(later).toEqual(later.toSorted((a, b) => b - a));
    }),
  );
});

test("fifty thousand small tables become few tasks, whose arguments fit", () => {
  const names = Array.from({ length: 50_000 }, (_, i) => `a table of one of very many tenants ${i}`);
  const tasks = planned({
    entries: names.map((name) => entry("TABLE DATA", name)),
    relations: names.map((name, i) => relation(i + 1, name)),
    jobs: 4,
  });
  expect(tasks.flatMap(({ entries }) => entries)).toHaveLength(50_000);
  expect(tasks.length).toBeLessThan(9);
  for (const { options } of tasks) {
    expect(namesIn(options)).toBeLessThanOrEqual(NAMES_MAX);
    expect(Buffer.byteLength(options.join("\0"))).toBeLessThan(1024 * 1024);
  }
});

test("the sequences of no table count as names too", () => {
  const [tables, sequences] = ["t", "s"].map((letter) =>
    Array.from({ length: 7_000 }, (_, i) => `${letter}${i}`),
  ) as [string[], string[]];
  const tasks = planned({
    entries: [
      ...tables.map((name) => entry("TABLE DATA", name)),
      ...sequences.map((name) => entry("SEQUENCE SET", name)),
    ],
    relations: [...tables, ...sequences].map((name, i) => relation(i + 1, name)),
    groupBytesMin: 2 ** 40,
  });
  expect(tasks.flatMap(({ entries }) => entries)).toHaveLength(14_000);
  expect(Math.max(...tasks.map(({ options }) => namesIn(options)))).toBeLessThanOrEqual(NAMES_MAX);
});
