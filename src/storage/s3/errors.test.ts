import { describe, expect, test } from "bun:test";
import { failureOf, isRetryable, s3Error } from "./errors.ts";

/** An error like the SDK's for an answer. */
function answered(name: string, httpStatusCode: number, message = name): Error {
  return Object.assign(new Error(message), { name, $metadata: { httpStatusCode } });
}

/** An error like that of `fetch` if there is no answer. */
function unanswered(code: string): Error {
  return Object.assign(new Error("network"), { code });
}

describe("isRetryable", () => {
  test.each([408, 429, 500, 502, 503, 504])("%p is retried", (status) => {
    expect(isRetryable(answered("Whatever", status))).toBe(true);
  });
  test.each([301, 400, 401, 403, 404, 412, 416, 501])("%p is not", (status) => {
    expect(isRetryable(answered("Whatever", status))).toBe(false);
  });
  test("an incomplete body is retried although it is a 400", () => {
    expect(isRetryable(answered("IncompleteBody", 400))).toBe(true);
    expect(isRetryable(answered("RequestTimeout", 400))).toBe(true);
  });
  test("an error inside a 200 counts by its code", () => {
    expect(isRetryable(answered("InternalError", 200))).toBe(true);
  });
  test("network errors are retried, an untrusted certificate is not", () => {
    expect(isRetryable(unanswered("ConnectionRefused"))).toBe(true);
    expect(isRetryable(unanswered("ECONNRESET"))).toBe(true);
    expect(isRetryable(unanswered("DEPTH_ZERO_SELF_SIGNED_CERT"))).toBe(false);
    expect(isRetryable(unanswered("CERT_HAS_EXPIRED"))).toBe(false);
  });
});

describe("s3Error", () => {
  const mapped = (error: Error) =>
    s3Error('storage "r2": put key', { endpoint: "https://s3.example.com" }, error);

  test("names the failure and has a hint", () => {
    const error = mapped(answered("AccessDenied", 403));
    expect(error.message).toBe('storage "r2": put key: access denied (AccessDenied, 403)');
    expect(error.hint).toContain("under the prefix");
    expect(error).toMatchObject({ code: "storage", retryable: false });
  });
  test("a wrong clock is named", () => {
    expect(mapped(answered("RequestTimeTooSkewed", 403)).hint).toContain("clock");
  });
  test("an unknown refusal keeps the server's words", () => {
    expect(mapped(answered("TooManyThings", 418, "slow, please")).message).toEndWith(
      "the server answered 418 TooManyThings: slow, please",
    );
  });
  test("is converted once, and keeps its cause", () => {
    const error = mapped(answered("NoSuchUpload", 404));
    expect(mapped(error)).toBe(error);
    expect(failureOf(error)).toEqual({ code: "NoSuchUpload", status: 404 });
  });
});
