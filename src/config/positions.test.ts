import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { parse } from "smol-toml";
import { findLines } from "./positions.ts";
import type { KeyPath } from "./problems.ts";

const DOCUMENT = `# a comment with [brackets] and "quotes"
top = 1
a.b . "c d" = "x" # dotted and quoted

[table.sub] # after the header
text = """
[not.a.header]
key = "no"
\\"""
"""
literal = '''
[[neither]]
'''
after = 'it''s' 
[[list]]
name = "#no comment"
[[list]]
name = "two" ; 
inline = { x = 1, y = { z = [1,
  2 ] } }
many = [
  # a comment ]
  "]",
  { k = 1 },
  [ [ ], [ 1 ] ],
]
[list.under]
deep = 1979-05-27 07:32:00
[[list.more]]
[[list.more]]
last = true
["quoted \\"header\\""]
'a.b' = 1`
  .replace("'it''s' ", "'its'")
  .replace('"two" ; ', '"two"');

describe("findLines", () => {
  const lineOf = findLines(DOCUMENT);

  test("the document is TOML", () => expect(Object.keys(parse(DOCUMENT))).toContain("list"));

  test.each<[number | undefined, KeyPath]>([
    [2, ["top"]],
    [3, ["a", "b", "c d"]],
    [5, ["table", "sub"]],
    [6, ["table", "sub", "text"]],
    [11, ["table", "sub", "literal"]],
    [14, ["table", "sub", "after"]],
    [15, ["list"]],
    [15, ["list", 0]],
    [16, ["list", 0, "name"]],
    [17, ["list", 1]],
    [18, ["list", 1, "name"]],
    [19, ["list", 1, "inline", "y"]],
    [20, ["list", 1, "inline", "y", "z", 1]],
    [21, ["list", 1, "many"]],
    [23, ["list", 1, "many", 0]],
    [24, ["list", 1, "many", 1, "k"]],
    [25, ["list", 1, "many", 2, 1, 0]],
    [28, ["list", 1, "under", "deep"]],
    [30, ["list", 1, "more", 1]],
    [31, ["list", 1, "more", 1, "last"]],
    [33, ['quoted "header"', "a.b"]],
    [undefined, ["nowhere"]],
    [undefined, []],
  ])("line %p of %p", (line, path) => expect(lineOf(path)).toBe(line as number));

  test("a missing key is at the line of the table around it", () => {
    expect(lineOf(["list", 0, "absent"])).toBe(15);
    expect(lineOf(["table", "sub", "text", "deeper"])).toBe(6);
  });

  test("carriage returns and a byte order mark", () => {
    expect(findLines("\uFEFFa = 1\r\n\r\n[b]\r\nc = 2\r\n")(["b", "c"])).toBe(4);
  });
});

/** Statements of every form; the line of each is counted while the document is built. */
const value = fc.constantFrom(
  "1",
  "1.5e3",
  "true",
  '"a # ] } = [x]"',
  "'\\'",
  '"\\"\\\\"',
  '"""\n[x]\ny = 1 \\""" """""',
  "'''\n[[x]]\n'''''",
  "[\n  1, # ]\n  2,\n]",
  "[]",
  "{}",
  "{ a = 1, b.c = '}' }",
  "[{ a = [\n] }, { a = 1 }]",
  "1979-05-27T07:32:00Z",
);
const filler = fc.constantFrom("", "\n", "# [x]\n", "\n  \t\n", "# a = '''\n");

test("every line of random documents", () => {
  fc.assert(
    fc.property(
      fc.array(fc.record({ isHeader: fc.boolean(), filler, value }), { maxLength: 30 }),
      (statements) => {
        let toml = "";
        let headers = 0;
        const expected: [KeyPath, number][] = [];
        for (const [index, statement] of statements.entries()) {
          toml += statement.filler;
          const line = toml.split("\n").length;
          if (statement.isHeader) expected.push([["t", headers++], line]);
          else expected.push([headers === 0 ? [`k${index}`] : ["t", headers - 1, `k${index}`], line]);
          toml += statement.isHeader ? "[[t]]\n" : `k${index} = ${statement.value}\n`;
        }
        parse(toml);
        const lineOf = findLines(toml);
        for (const [path, line] of expected) expect(lineOf(path)).toBe(line);
      },
    ),
  );
});

test("the scan also ends if the text is not TOML", () => {
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom(..."[]{}=.,\"'#\n\\ a") }), (text) => {
      findLines(text);
    }),
  );
});
