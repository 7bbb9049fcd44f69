import { expect, test } from "bun:test";
import { parseEnvironment } from "./environment-file.ts";

test("lines as systemd reads them", () => {
  const text = [
    "# a comment",
    "; another",
    "",
    "HTTPS_PROXY=http://user:p%40ss#1@proxy.lan:3128 ",
    'NO_PROXY="localhost, .lan"',
    "  EMPTY=",
    `SINGLE='a "b" \\c'`,
    'DOUBLE="a \\"b\\" \\c"',
    "BARE=a\\ b=c",
    "export WRONG=1",
    "not a variable",
    "3D=x",
  ].join("\n");
  expect(parseEnvironment(text)).toEqual({
    env: {
      HTTPS_PROXY: "http://user:p%40ss#1@proxy.lan:3128",
      NO_PROXY: "localhost, .lan",
      EMPTY: "",
      SINGLE: 'a "b" \\c',
      DOUBLE: 'a "b" \\c',
      BARE: "a b=c",
    },
    strayLines: [10, 11, 12],
  });
});
