import { expect, test } from "bun:test";
import { exactText } from "./utf8.ts";

test("decoding keeps every byte, or returns undefined", () => {
  for (const text of ["", "\ufeffa", "\ufffd", "a\0ü数🐘\uffff"])
    expect(exactText(Buffer.from(text))).toBe(text);
  for (const bytes of [[0xff], [0xc3], [0xc1, 0xa1], [0xed, 0xa0, 0x80], [0xf4, 0x90, 0x80, 0x80]])
    expect(exactText(Uint8Array.from(bytes))).toBeUndefined();
});
