import { expect, test } from "bun:test";
import { type Column, longTable, PLAIN, table } from "./table.ts";

interface Row {
  id: string;
  size: string;
  copies: string;
  note: string;
}
const COLUMNS: readonly Column<Row>[] = [
  { title: "ID", cell: ({ id }) => id },
  { title: "SIZE", cell: ({ size }) => size, align: "right" },
  { title: "COPIES", cell: ({ copies }) => copies },
  { title: "NOTE", cell: ({ note }) => note },
];
const ROWS = [
  { id: "aaaa", size: "1.0 GiB", copies: "disk, r2", note: "" },
  { id: "bb", size: "9 B", copies: "-", note: "no room" },
];
const at = (columns: number | undefined) => table(ROWS, COLUMNS, { ...PLAIN, columns }).split("\n");

test("a table that fits has one line for each row", () => {
  const lines = [
    "ID       SIZE  COPIES    NOTE",
    "aaaa  1.0 GiB  disk, r2",
    "bb        9 B  -         no room",
  ];
  expect(at(undefined)).toEqual(lines);
  expect(at(32)).toEqual(lines);
});

test("on a narrow terminal the columns that do not fit follow below each row", () => {
  expect(at(31)).toEqual([
    "ID       SIZE  COPIES",
    "aaaa  1.0 GiB  disk, r2",
    "bb        9 B  -",
    "  note: no room",
  ]);
  expect(at(20)).toEqual([
    "ID       SIZE",
    "aaaa  1.0 GiB",
    "  copies: disk, r2",
    "bb        9 B",
    "  note: no room",
  ]);
  expect(at(1)[0]).toBe("ID");
  expect(at(1)).toContain("  size: 1.0 GiB");
});

test("the notes of a row stay below its own lines, however narrow the terminal is", () => {
  const noted = (columns: number) =>
    table(ROWS, COLUMNS, { ...PLAIN, columns }, ({ note }) => (note ? ["hint: buy a disk"] : [])).split("\n");
  expect(noted(32).slice(-2)).toEqual(["bb        9 B  -         no room", "hint: buy a disk"]);
  expect(noted(20).slice(-4)).toEqual([
    "  copies: disk, r2",
    "bb        9 B",
    "  note: no room",
    "hint: buy a disk",
  ]);
});

test.each([40, 80])("no line of a table with short cells is wider than %d columns", (columns) => {
  const row = { id: "12345678", size: "1.0 GiB", copies: "disk, r2, offsite", note: "newest not in offsite" };
  for (const line of table([row, row], [...COLUMNS, ...COLUMNS], { ...PLAIN, columns }).split("\n"))
    expect(line.length).toBeLessThanOrEqual(columns);
});

const NAMES: readonly Column<Row>[] = [
  { title: "DATABASE", cell: ({ copies }) => copies, isName: true },
  { title: "SIZE", cell: ({ size }) => size, align: "right" },
  { title: "NOTE", cell: ({ note }) => note },
];
const LONG = { ...(ROWS[0] as Row), copies: "main/customers_of_production_2026_11", note: "fine" };

test("on a terminal that is too narrow long names are cut in the middle, and only there", () => {
  const line = (columns: number | undefined) =>
    table([LONG], NAMES, { ...PLAIN, columns }).split("\n")[1] ?? "";
  expect(line(undefined)).toBe("main/customers_of_production_2026_11  1.0 GiB  fine");
  expect(line(51)).toBe(line(undefined));
  expect(line(50)).toBe("main/customers_of…roduction_2026_11  1.0 GiB  fine");
  expect(line(31)).toBe("main/cus…2026_11  1.0 GiB  fine");
  // Names keep 16 columns; the columns that do not fit go below.
  expect(
    table([LONG], NAMES, { ...PLAIN, columns: 30 })
      .split("\n")
      .slice(1),
  ).toEqual(["main/cus…2026_11  1.0 GiB", "  note: fine"]);
  // If columns go below anyway, a name takes a third of the line.
  const note = "n".repeat(60);
  expect(table([{ ...LONG, note }], NAMES, { ...PLAIN, columns: 66 }).split("\n")[1]).toBe(
    "main/custom…on_2026_11  1.0 GiB",
  );
});

test("wide letters and colours are counted as the terminal shows them", () => {
  const row = { ...LONG, copies: "\u001b[31m数据库数据库数据库数据库数据库\u001b[39m" };
  const [, line = ""] = table([row], NAMES, { ...PLAIN, columns: 31 }).split("\n");
  expect(Bun.stringWidth(line)).toBeLessThanOrEqual(31);
  expect(line).toContain("…");
  expect(line).toContain("1.0 GiB  fine");
});

test("a table of a long list is the same text, page by page", async () => {
  for (const columns of [undefined, 31, 20])
    for (const rows of [ROWS, []]) {
      const pages = async function* () {
        for (const row of rows) yield [row];
      };
      const parts = await Array.fromAsync(longTable(pages, COLUMNS, { ...PLAIN, columns }));
      expect(parts.join("")).toBe(`${table(rows, COLUMNS, { ...PLAIN, columns })}\n`);
    }
});
