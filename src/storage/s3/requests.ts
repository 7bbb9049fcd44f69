import { S3Client } from "@aws-sdk/client-s3";
import { FetchHttpHandler } from "@smithy/fetch-http-handler";
import { deadline } from "../../base/abort.ts";
import type { Clock } from "../../base/clock.ts";
import { Pg321Error } from "../../base/errors.ts";
import { MINUTE_MS } from "../../base/limits.ts";
import type { Log } from "../../base/log.ts";
import { authorities } from "../../base/network/certificates.ts";
import { type RetryPolicy, retry } from "../../base/retry.ts";
import type { S3StorageConfig } from "../../config/config.ts";
import { isRetryable, s3Error } from "./errors.ts";

/** Time limit for requests without a large body; then they are tried again. */
const REQUEST_TIMEOUT_MS = MINUTE_MS;
const RETRY_DELAY_MS = 500;
const RETRY_DELAY_MS_MAX = 30_000;

export interface CallOptions {
  signal: AbortSignal;
  /** Until the headers of the answer; 0: no limit, for bodies whose progress the caller watches. */
  timeoutMs?: number;
}

/** The client of one storage: signs, sends, retries, and converts errors. */
export class S3Requests {
  readonly client: S3Client;
  /** The storage's name. */
  readonly storage: string;
  readonly #config: S3StorageConfig;
  readonly #policy: RetryPolicy;
  readonly #log: Log;
  readonly #clock: Clock;
  /** After a failure, every request uses a new connection until one succeeds: B2 asks for that. */
  #hasFailed = false;
  /** The text of `ca_file`. */
  #authorities: string | undefined;
  /** From the last reply with a date, and when that came. */
  #clockSkew: { skewMs: number; atMs: number } | undefined;

  constructor(config: S3StorageConfig, deps: { log: Log; clock: Clock }) {
    this.storage = config.name;
    this.#config = config;
    this.#policy = {
      attempts: config.attempts,
      delayMs: RETRY_DELAY_MS,
      delayMsMax: RETRY_DELAY_MS_MAX,
    };
    this.#log = deps.log;
    this.#clock = deps.clock;
    this.client = newClient(config, () => this.#route());
    this.client.middlewareStack.add(
      (next) => async (args) => {
        const result = await next(args);
        const { headers } = result.response as { headers?: Record<string, string> };
        const serverMs = Date.parse(headers?.["date"] ?? "");
        const skewMs = this.#clock.now().getTime() - serverMs;
        if (!Number.isNaN(skewMs)) this.#clockSkew = { skewMs, atMs: this.#clock.monotonicMs() };
        return result;
      },
      // Close to the handler, so that it also sees replies that become errors.
      { step: "deserialize", priority: "low", name: "clockSkew" },
    );
  }

  clockSkewMs(sinceMs = Number.NEGATIVE_INFINITY): number | undefined {
    return this.#clockSkew && this.#clockSkew.atMs >= sinceMs ? this.#clockSkew.skewMs : undefined;
  }

  /** The time by the server's clock, as far as its replies have shown it: locks end by that clock. */
  serverTime(): Date {
    return new Date(this.#clock.now().getTime() - (this.#clockSkew?.skewMs ?? 0));
  }

  /** The beginning of an error's message. */
  what(operation: string): string {
    return `storage "${this.storage}": ${operation}`;
  }

  /** Sends a request until it succeeds, its error is not retryable, or no attempts are left. */
  async call<T>(
    operation: string,
    { signal, timeoutMs = REQUEST_TIMEOUT_MS }: CallOptions,
    request: (options: { abortSignal: AbortSignal }) => Promise<T>,
  ): Promise<T> {
    const askedAtMs = this.#clock.monotonicMs();
    const mapped = (error: unknown) =>
      s3Error(this.what(operation), this.#config, error, this.clockSkewMs(askedAtMs));
    const onRetry = (error: unknown, attempt: number) => {
      const cause = mapped(error).message;
      this.#log.warning("storage request failed, trying again", { storage: this.storage, attempt, cause });
    };
    try {
      await this.#readAuthorities(operation, signal);
      return await retry(this.#policy, { signal, clock: this.#clock, isRetryable, onRetry }, () =>
        this.#once(signal, timeoutMs, request),
      );
    } catch (error) {
      if (signal.aborted) throw signal.reason;
      throw mapped(error);
    }
  }

  async #readAuthorities(operation: string, signal: AbortSignal): Promise<void> {
    const { ca_file } = this.#config;
    if (ca_file === undefined) return;
    try {
      this.#authorities = await authorities(ca_file, signal);
    } catch (error) {
      if (!(error instanceof Pg321Error)) throw error;
      const { hint, retryable } = error;
      throw new Pg321Error("storage", `${this.what(operation)}: ${error.message}`, {
        ...(hint !== undefined && { hint }),
        retryable,
        cause: error,
      });
    }
  }

  /** How the next request goes: over a connection that stays or not, trusting whom, through which proxy. */
  #route(): BunFetchRequestInit {
    const ca = this.#authorities;
    return {
      keepalive: !this.#hasFailed,
      redirect: "manual",
      ...(ca !== undefined && { tls: { ca } }),
      proxy: this.#config.proxy?.url.reveal() ?? false,
    };
  }

  async #once<T>(
    signal: AbortSignal,
    timeoutMs: number,
    request: (options: { abortSignal: AbortSignal }) => Promise<T>,
  ): Promise<T> {
    const late = () => new Error(`timed out after ${timeoutMs / 1000} s`);
    using time =
      timeoutMs > 0 ? deadline({ clock: this.#clock, signal, durationMs: timeoutMs }, late) : undefined;
    const abortSignal = time?.signal ?? signal;
    try {
      const result = await request({ abortSignal });
      this.#hasFailed = false;
      return result;
    } catch (error) {
      this.#hasFailed = true;
      // The SDK's own error does not say why it was aborted.
      throw abortSignal.aborted ? abortSignal.reason : error;
    }
  }
}

/**
 * Content-MD5, which every server understands, protects the integrity; the SDK's own checksums and its
 * `aws-chunked` bodies fail on several servers. So payloads are not hashed a second time for the signature.
 * `S3Requests.call` retries: the SDK's token bucket gives up too soon. The request handler is the one on `fetch`:
 * see docs/adr/0002-s3-requests-by-fetch.md.
 */
function newClient(config: S3StorageConfig, route: () => BunFetchRequestInit): S3Client {
  const sessionToken = config.session_token?.reveal();
  const client = new S3Client({
    endpoint: config.endpoint,
    region: config.region,
    forcePathStyle: config.path_style,
    credentials: {
      accessKeyId: config.access_key_id.reveal(),
      secretAccessKey: config.secret_access_key.reveal(),
      ...(sessionToken === undefined ? {} : { sessionToken }),
    },
    requestChecksumCalculation: "WHEN_REQUIRED",
    responseChecksumValidation: "WHEN_REQUIRED",
    // The correction would sign with the server's time after the first refusal, so the next call would hide the
    // cause.
    disableClockSkewCorrection: true,
    maxAttempts: 1,
    followRegionRedirects: false,
    requestHandler: new FetchHttpHandler({ customFetch: fetchBy(route) }),
  });
  client.middlewareStack.add(
    (next) => (args) => {
      const { headers } = args.request as { headers: Record<string, string> };
      headers["x-amz-content-sha256"] = "UNSIGNED-PAYLOAD";
      return next(args);
    },
    { step: "build", name: "unsignedPayload" },
  );
  return client;
}

/** A `Request` carries neither authorities nor a proxy: they are given beside it. */
function fetchBy(route: () => BunFetchRequestInit): typeof fetch {
  const send = (request: Parameters<typeof fetch>[0]) => fetch(request, route());
  return Object.assign(send, { preconnect: fetch.preconnect });
}
