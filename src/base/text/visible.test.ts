import { expect, test } from "bun:test";
import { atOnce } from "../steps.ts";
import { visible, visibleData, visibleLines, visibleSteps } from "./visible.ts";

const CONTROLS = [...Array(32).keys(), 127, ...Array.from({ length: 32 }, (_, index) => 128 + index)]
  .map((code) => String.fromCharCode(code))
  .join("");

test("control characters are replaced, and everything else stays", () => {
  expect(visible(`a${CONTROLS}b`)).toBe(`a${"\ufffd".repeat(CONTROLS.length)}b`);
  expect(visible("Käse, чай, 茶, 🍵, \ud800")).toBe("Käse, чай, 茶, 🍵, \ud800");
  expect(visibleLines("one\n\u001b[31mtwo\r\n")).toBe("one\n\ufffd[31mtwo\ufffd\n");
});

test("texts of records are cleaned however deep they are", () => {
  const record = { name: "a\nb", copies: [{ storage: "x", error: "\u009b2J" }], bytes: 5, error: null };
  expect(visibleData(record)).toEqual({
    name: "a\ufffdb",
    copies: [{ storage: "x", error: "\ufffd2J" }],
    bytes: 5,
    error: null,
  });
});

test("a record without control characters is copied as it is", () => {
  const record = { name: "Käse", copies: [{ storage: 'C:\\"x"', bytes: 5 }], error: null };
  expect(visibleData(record)).toEqual(record);
  expect(visibleData({ name: "a" })).not.toBe(visibleData({ name: "a" }));
});

test("a record in steps is cleaned as at once, its lists a few elements at a time", () => {
  const list = Array.from({ length: 120 }, (_, index) => ({ name: `${index}\u009b` }));
  const record = { list, one: "a\nb", none: undefined, empty: [] };
  expect(atOnce(visibleSteps(record))).toEqual(visibleData(record));
  expect([...visibleSteps(record)].length).toBe(3);
});
