import { describe, expect, test } from "bun:test";
import { closest } from "./suggest.ts";

describe("closest", () => {
  test.each([
    ["bukcet", ["region", "bucket"], "bucket"],
    ["zsdt", ["gzip", "zstd", "none"], "zstd"],
    ["passwrod", ["password", "port"], "password"],
    ["verify_full", ["verify-ca", "verify-full"], "verify-full"],
    ["Bucket", ["bucket"], "bucket"],
    ["keepdays", ["keep", "keep_days"], "keep_days"],
    ["xyz", ["local", "s3"], undefined],
    ["s4", ["local", "s3"], "s3"],
    ["region", [], undefined],
  ])("%p among %p is %p", (word, candidates, expected) => {
    expect(closest(word, candidates)).toBe(expected as string);
  });

  test("the nearest wins, not the first", () => {
    expect(closest("restoree", ["restored", "restore"])).toBe("restored");
    expect(closest("restor", ["restored", "restore"])).toBe("restore");
  });
});
