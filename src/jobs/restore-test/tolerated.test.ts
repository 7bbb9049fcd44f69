import { expect, test } from "bun:test";
import type { ArchiveEntry } from "../../postgres/archive/format.ts";
import { toleratedBy } from "./tolerated.ts";

const of = (entry: string | null) =>
  toleratedBy([
    {
      ...{ entry, message: "wrong", detail: null, hint: null, context: null },
      ...{ statement: null, kind: null, advice: null },
    },
  ]);

test.each([
  ["TABLE DATA public.orders", ["public.orders"], {}],
  ["TABLE public.orders", ["public.orders"], { tables: 1 }],
  ["TABLE DATA.orders", ["DATA.orders"], { tables: 1 }],
  ["FOREIGN TABLE public.far", [], { tables: 1 }],
  ["FK CONSTRAINT public.orders orders_user_fkey", [], { constraints: 1 }],
  ["CHECK CONSTRAINT public.orders positive", [], { constraints: 1 }],
  ["MATERIALIZED VIEW public.sums", [], { views: 1 }],
  ["EXTENSION plpython3u", [], { extensions: 1 }],
  ["EVENT TRIGGER seen", [], {}],
  [null, [], {}],
])("an allowed error of %j excuses tables %j and numbers %j", (entry, tables, numbers) => {
  expect(of(entry)).toEqual({ tables: new Set(tables), sequences: new Set(), numbers });
});

test("rows and sequences that a skipped extension keeps out are excused", () => {
  const skipped = ["TABLE DATA", "SEQUENCE SET", "EXTENSION"].map((description) => {
    const entry = { description, namespace: "cron", tag: `of ${description}` } as ArchiveEntry;
    return { entry, reason: "restore_test.skip_extensions" };
  });
  expect(toleratedBy([], skipped)).toEqual({
    tables: new Set(["cron.of TABLE DATA"]),
    sequences: new Set(["cron.of SEQUENCE SET"]),
    numbers: { extensions: 1 },
  });
});
