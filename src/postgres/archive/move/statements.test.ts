import { describe, expect, test } from "bun:test";
import { movedAttach, movedConstraint, movedCopy, movedIndex, movedTable, NotMovable } from "./statements.ts";

const isMoved = (namespace: string, name: string) =>
  namespace === "public" && ["t", "Odd.t", "p"].includes(name);
const table = (columns: string, tail = "") =>
  movedTable(
    `CREATE TABLE public.t (\n${columns}\n)${tail};\n\n\nALTER TABLE public.t SET x;\n`,
    "old",
    isMoved,
  )
    .replace(/^CREATE TABLE "old"\."t" \(\s*/, "")
    .replace(/\s*;\n$/, "");

describe("a table", () => {
  test.each([
    ["id integer DEFAULT nextval('public.s'::regclass) NOT NULL", "id integer NOT NULL"],
    ["a numeric(12,2) DEFAULT NULL::numeric NOT NULL", "a numeric(12,2) NOT NULL"],
    ["a timestamp(3) without time zone DEFAULT now()", "a timestamp(3) without time zone"],
    ["a text COLLATE pg_catalog.\"C\" DEFAULT 'x, NOT NULL ('", 'a text COLLATE pg_catalog."C"'],
    ["a text DEFAULT 'x' NOT NULL COLLATE pg_catalog.\"C\"", 'a text NOT NULL COLLATE pg_catalog."C"'],
    ['"a, b" public."not null"[] DEFAULT \'{}\'::public."not null"[]', '"a, b" public."not null"[]'],
    [
      "a int GENERATED ALWAYS AS ((b + 1)) STORED NOT NULL",
      "a int GENERATED ALWAYS AS ((b + 1)) STORED NOT NULL",
    ],
    ["a public.generated CONSTRAINT x NOT NULL", "a public.generated NOT NULL"],
    ["a int,\n CONSTRAINT c CHECK ((a > 0)),\n b int", "a int,\n    b int"],
    ["a int DEFAULT CASE WHEN true THEN NULL::integer ELSE 1 END, b int", "a int,\n    b int"],
  ])("%s", (columns, moved) => {
    expect(table(columns).replace(/\n\)$/, "")).toBe(moved);
  });

  test("keeps its parents and partitions, and no storage parameters", () => {
    const tail = "\nINHERITS (public.p)\nWITH (fillfactor='70')";
    expect(table("a int", tail)).toBe('a int\n)\nINHERITS ("old"."p")');
    const partitioned = "\nPARTITION BY LIST (public.f(a))\nWITH (x=1)";
    expect(table("a int", partitioned)).toBe("a int\n)\nPARTITION BY LIST (public.f(a))");
    const unlogged = movedTable("CREATE UNLOGGED TABLE public.t (\n);\n", "o", isMoved);
    expect(unlogged).toStartWith('CREATE UNLOGGED TABLE "o"."t" (');
  });

  test.each([
    ["CREATE TABLE public.t OF public.c;", "a table of a composite type"],
    ["CREATE TABLE public.t (a int) INHERITS (public.other);", "it inherits from public.other"],
    ["CREATE TABLE public.t (a int) SERVER s;", "not of a known form"],
    ["CREATE TABLE t (a int);", "not of a known form"],
    ["CREATE FOREIGN TABLE public.t (a int);", "not of a known form"],
  ])("%s is refused", (definition, reason) => {
    expect(() => movedTable(definition, "old", isMoved)).toThrow(reason);
  });
});

test("other statements get the new names, and only the first statement stays", () => {
  const copy = (text: string) => movedCopy(text, "old", isMoved);
  expect(copy('COPY public."Odd.t" ("public.t", b) FROM stdin;\n')).toBe(
    'COPY "old"."Odd.t" ("public.t", b) FROM stdin;\n',
  );
  expect(copy("COPY public.t  FROM stdin;\n")).toBe('COPY "old"."t"  FROM stdin;\n');
  const index =
    "CREATE UNIQUE INDEX i ON ONLY public.t USING btree (public.t(a));\nALTER INDEX public.i SET x;\n";
  expect(movedIndex(index, "old", isMoved)).toBe(
    'CREATE UNIQUE INDEX i ON ONLY "old"."t" USING btree (public.t(a));\n',
  );
  const constraint = (text: string) =>
    movedConstraint(`ALTER TABLE ONLY public.t\n    ADD CONSTRAINT c ${text};\n`, "old", isMoved);
  expect(constraint("PRIMARY KEY (a)")).toBe(
    'ALTER TABLE ONLY "old"."t"\n    ADD CONSTRAINT c PRIMARY KEY (a);\n',
  );
  expect(constraint("FOREIGN KEY (a) REFERENCES public.p(a)")).toBeUndefined();
  const attach = "ALTER TABLE ONLY public.p ATTACH PARTITION public.t DEFAULT;\n";
  expect(movedAttach(attach, "old", isMoved)).toBe(
    'ALTER TABLE ONLY "old"."p" ATTACH PARTITION "old"."t" DEFAULT;\n',
  );
});

test("a statement about a table that stays is refused, and so are rows as INSERT statements", () => {
  expect(() => movedCopy("COPY public.other (a) FROM stdin;\n", "old", isMoved)).toThrow(NotMovable);
  expect(() => movedCopy("", "old", isMoved)).toThrow("not stored for COPY");
  const index = "CREATE INDEX i ON public.other USING btree (a);";
  expect(() => movedIndex(index, "old", isMoved)).toThrow(NotMovable);
  const attach = "ALTER TABLE ONLY public.p ATTACH PARTITION public.other DEFAULT;";
  expect(() => movedAttach(attach, "old", isMoved)).toThrow("public.other, which is not selected");
});
