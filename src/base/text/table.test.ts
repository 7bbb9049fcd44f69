import { expect, test } from "bun:test";
import { type Column, PLAIN, table } from "./table.ts";

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

test.each([40, 80])("no line of a table with short cells is wider than %d columns", (columns) => {
  const row = { id: "12345678", size: "1.0 GiB", copies: "disk, r2, offsite", note: "newest not in offsite" };
  for (const line of table([row, row], [...COLUMNS, ...COLUMNS], { ...PLAIN, columns }).split("\n"))
    expect(line.length).toBeLessThanOrEqual(columns);
});
