import { expect, test } from "bun:test";
import { ageText } from "./amounts.ts";

test("an age is never a negative one: what is dated in the future says so", () => {
  expect(ageText(1_200_000)).toBe("20m 00s");
  expect(ageText(0)).toBe("0 ms");
  expect(ageText(-1_200_000)).toBe("in 20m 00s");
  expect(ageText(-3)).toBe("in 3 ms");
});
