import { messageOf, Pg321Error } from "../../base/errors.ts";
import { MINUTE_MS } from "../../base/limits.ts";
import { CA_FILE_HINT, isCertificateCode } from "../../base/network/certificates.ts";
import { isProxyRefusal, loginRefusal, PROXY_LOGIN_STATUS, proxyProblem } from "../../base/network/proxy.ts";
import { durationText } from "../../base/text/amounts.ts";
import type { S3StorageConfig } from "../../config/config.ts";

/** The contents of an SDK error: S3's code, or the name of a network error, and the HTTP status if there was one. */
export interface S3Failure {
  code: string;
  status: number | undefined;
}

/** Reads the failure from an SDK error, or from the `Pg321Error` made of one. */
export function failureOf(error: unknown): S3Failure {
  const source = error instanceof Pg321Error ? error.cause : error;
  if (!(source instanceof Error)) return { code: "", status: undefined };
  const { $metadata, code } = source as { $metadata?: { httpStatusCode?: number }; code?: unknown };
  const status = $metadata?.httpStatusCode;
  return { code: status === undefined && typeof code === "string" ? code : source.name, status };
}

const RETRYABLE_STATUS: readonly number[] = [408, 429, 500, 502, 503, 504];
/** Codes that some servers send with 400: the body did not arrive whole or in time. */
const RETRYABLE_CODES: readonly string[] = ["RequestTimeout", "IncompleteBody", "SlowDown", "InternalError"];

/** True for throttling, 5xx and network errors; false for refusals, also by a proxy, and untrusted certificates. */
export function isRetryable(error: unknown): boolean {
  const { code, status } = failureOf(error);
  if (RETRYABLE_CODES.includes(code)) return true;
  if (status !== undefined && status >= 300) return RETRYABLE_STATUS.includes(status);
  return !isCertificateCode(code) && !isProxyRefusal({ code, message: messageOf(error) });
}

/** Where the request went. */
type Target = Pick<S3StorageConfig, "endpoint" | "proxy">;

interface Meaning {
  message: string;
  hint?: string;
}

const ACCESS_DENIED: Meaning = {
  message: "access denied",
  hint: "the key needs to read, write, list and delete under the prefix; a locked object cannot be deleted",
};
const WRONG_REGION: Meaning = {
  message: "the bucket is in another region",
  hint: "set region (and endpoint) to those of the bucket",
};
const SKEWED = "RequestTimeTooSkewed";
const CLOCK_HINT = "set the clock: timedatectl set-ntp true";

const MEANINGS: Record<string, Meaning> = {
  AccessDenied: ACCESS_DENIED,
  InvalidAccessKeyId: { message: "the access key is unknown", hint: "check access_key_id" },
  SignatureDoesNotMatch: {
    message: "the signature was refused",
    hint: "check secret_access_key, access_key_id and region",
  },
  [SKEWED]: {
    message: "this host's clock differs from the server's by more than 15 minutes",
    hint: CLOCK_HINT,
  },
  NoSuchBucket: { message: "the bucket does not exist", hint: "check bucket, endpoint and region" },
  NoSuchKey: { message: "no such object" },
  NotFound: { message: "no such object" },
  PermanentRedirect: WRONG_REGION,
  AuthorizationHeaderMalformed: WRONG_REGION,
  PreconditionFailed: { message: "the object already exists, and pg321 overwrites nothing" },
  BadDigest: {
    message: "the server received different bytes than pg321 sent",
    hint: "check for a faulty proxy, network card or memory",
  },
  EntityTooLarge: { message: "the object is larger than the server accepts" },
  EntityTooSmall: { message: "a part is smaller than the server accepts" },
  QuotaExceeded: { message: "the bucket's quota is used up", hint: "raise the quota, or shorten keep" },
};

const MEANINGS_BY_STATUS: Record<number, Meaning> = {
  301: WRONG_REGION,
  307: WRONG_REGION,
  400: { message: "the request was refused", hint: "check region and endpoint" },
  401: ACCESS_DENIED,
  403: ACCESS_DENIED,
  404: { message: "not found" },
  429: { message: "too many requests: the server throttles" },
  507: { message: "the server is full" },
};

/** Servers refuse requests if the clock is off by 15 minutes, some by 5, and some give no reason. */
const SKEW_MS_MAX = 5 * MINUTE_MS;

/**
 * Converts an error of the SDK to one of the storage contract. `skewMs`: by how much this host's clock was ahead of
 * the server's at the reply, if a reply showed it.
 */
export function s3Error(what: string, target: Target, error: unknown, skewMs?: number): Pg321Error {
  if (error instanceof Pg321Error) return error;
  const failure = failureOf(error);
  const { message, hint } = withClock(meaningOf(failure, target, error), failure, skewMs);
  return new Pg321Error("storage", `${what}: ${message}`, {
    ...(hint === undefined ? {} : { hint }),
    cause: error,
    retryable: isRetryable(error),
  });
}

/** A wrong clock explains a refusal, whatever code the server gives. */
function withClock(meaning: Meaning, { code, status }: S3Failure, skewMs: number | undefined): Meaning {
  if (skewMs === undefined || ![400, 401, 403].includes(status ?? 0)) return meaning;
  const said = clockText(skewMs);
  if (code === SKEWED) return { message: `${said} (${code}, ${status})`, hint: CLOCK_HINT };
  if (Math.abs(skewMs) < SKEW_MS_MAX) return meaning;
  return {
    message: `${meaning.message}, and ${said}`,
    hint: `${CLOCK_HINT}; if the error persists: ${meaning.hint}`,
  };
}

/** `skewMs`: by how much this host's clock is ahead of the server's. */
export function clockText(skewMs: number): string {
  const direction = skewMs > 0 ? "ahead of" : "behind";
  return `this host's clock is ${durationText(Math.abs(skewMs))} ${direction} the server's`;
}

function meaningOf({ code, status }: S3Failure, { endpoint, proxy }: Target, error: unknown): Meaning {
  const known = MEANINGS[code] ?? (status === undefined ? undefined : MEANINGS_BY_STATUS[status]);
  if (known) {
    const region = known === WRONG_REGION ? regionIn(error) : undefined;
    const message = region === undefined ? known.message : `the bucket is in region "${region}"`;
    // A HEAD has no body to name a code.
    const codes = [code === "Unknown" ? "" : code, status ?? ""].filter((part) => part !== "");
    return status === undefined ? known : { ...known, message: `${message} (${codes.join(", ")})` };
  }
  if (status === PROXY_LOGIN_STATUS && proxy) return loginRefusal(proxy, new URL(endpoint).host);
  if (status !== undefined) {
    const words = messageOf(error);
    const said = words !== code ? `: ${words}` : "";
    return { message: `the server answered ${status} ${code}${said}` };
  }
  const way = proxy === undefined ? "" : ` through the proxy ${proxy.place}`;
  if (isCertificateCode(code)) {
    return {
      message: `the certificate of ${endpoint}${way} is not trusted (${code})`,
      hint: CA_FILE_HINT,
    };
  }
  const said = messageOf(error);
  const problem = proxy && proxyProblem({ code, message: said }, proxy, new URL(endpoint).host);
  if (problem) return problem;
  return {
    message: `no answer from ${endpoint}${way}: ${said} (${code})`,
    hint: "check the endpoint, DNS and the firewall",
  };
}

/** The right region, if the answer names it. */
function regionIn(error: unknown): string | undefined {
  const { Region, $response } = error as {
    Region?: unknown;
    $response?: { headers?: Record<string, string> };
  };
  if (typeof Region === "string") return Region;
  return $response?.headers?.["x-amz-bucket-region"];
}
