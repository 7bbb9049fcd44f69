import { expect, test } from "bun:test";
import { EXIT_CODES, exitCodeOf, messageOf, Pg321Error } from "./errors.ts";

test("an error has a message, a hint and the exit code of its kind", () => {
  const cause = new Error("ECONNRESET");
  const error = new Pg321Error("storage", 'storage "r2": put a: timed out', {
    hint: "wait",
    cause,
    retryable: true,
  });
  expect(error).toMatchObject({ code: "storage", hint: "wait", cause, retryable: true, exitCode: 13 });
  expect(new Pg321Error("key", "no key")).toMatchObject({ hint: undefined, retryable: false, exitCode: 12 });
  expect("cause" in new Pg321Error("key", "no key")).toBe(false);
});

test("any other error is a bug", () => {
  expect(exitCodeOf(new Pg321Error("locked", "held"))).toBe(11);
  expect(exitCodeOf(new TypeError("undefined is not"))).toBe(1);
  expect(exitCodeOf("text")).toBe(1);
});

test("no two kinds share an exit code", () => {
  const codes = Object.values(EXIT_CODES);
  expect(new Set(codes).size).toBe(codes.length);
});

test("the message of anything thrown", () => {
  expect(messageOf(new Error("why"))).toBe("why");
  expect(messageOf("why")).toBe("why");
  expect(messageOf(undefined)).toBe("undefined");
});
