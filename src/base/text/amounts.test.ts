import { expect, test } from "bun:test";
import { ageText } from "./amounts.ts";

test("an age is never negative: a date in the future is shown as such", () => {
  expect(ageText(1_200_000)).toBe("20m 00s");
  expect(ageText(0)).toBe("0 ms");
  expect(ageText(-1_200_000)).toBe("in 20m 00s");
  expect(ageText(-3)).toBe("in 3 ms");
});
