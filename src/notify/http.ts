import { messageOf } from "../base/errors.ts";
import { authorities, CA_FILE_HINT, isCertificateCode } from "../base/network/certificates.ts";
import {
  isProxyRefusal,
  loginRefusal,
  PROXY_LOGIN_STATUS,
  type ProxyProblem,
  proxyProblem,
  type WebProxy,
} from "../base/network/proxy.ts";
import { VERSION } from "../base/version.ts";
import type { Network } from "../config/config.ts";
import { deliveryError } from "./notifier.ts";

export interface HttpMessage {
  url: string;
  headers: Record<string, string>;
  body: string;
}

export const USER_AGENT = `pg321/${VERSION}`;
/** A URL is a secret, and its host may be one, too. */
const RECEIVER = "the receiver's host";
/** Refusals that may be temporary: timeouts and too many requests. */
const PASSING = [408, 425, 429];

/**
 * POSTs a message; any 2xx means that it was accepted. A redirect counts as a refusal: it would send the secrets of
 * the message elsewhere.
 */
export async function post(
  { url, headers, body }: HttpMessage,
  { ca_file, proxy }: Network,
  signal: AbortSignal,
): Promise<void> {
  const tls = ca_file === undefined ? {} : { tls: { ca: await authoritiesOf(ca_file, signal) } };
  const request = {
    method: "POST",
    headers: { ...headers, "user-agent": USER_AGENT },
    body,
    redirect: "manual" as const,
    signal,
    ...tls,
  };
  const response = await answer(url, request, proxy, signal);
  // The body is not needed, and may quote the message.
  await response.body?.cancel().catch(() => {});
  const { status } = response;
  if (status >= 200 && status < 300) return;
  if (status === PROXY_LOGIN_STATUS && proxy)
    throw deliveryError(textOf(loginRefusal(proxy, RECEIVER)), false);
  throw deliveryError(`status ${status}`, status >= 500 || PASSING.includes(status));
}

/** The text of `ca_file`, for every notifier that has one. */
export async function authoritiesOf(file: string, signal: AbortSignal): Promise<string> {
  try {
    return await authorities(file, signal);
  } catch (error) {
    signal.throwIfAborted();
    throw deliveryError(messageOf(error), true, error);
  }
}

async function answer(
  url: string,
  request: BunFetchRequestInit,
  proxy: WebProxy | undefined,
  signal: AbortSignal,
): Promise<Response> {
  try {
    return await fetch(url, { ...request, proxy: proxy?.url.reveal() ?? false });
  } catch (error) {
    signal.throwIfAborted();
    throw toldBy(error, proxy);
  }
}

function textOf({ message, hint }: ProxyProblem): string {
  return `${message}; ${hint}`;
}

/** The message of `fetch` may hold the URL; its code does not. */
function toldBy(error: unknown, proxy: WebProxy | undefined): Error {
  const { code } = error as { code?: unknown };
  if (typeof code !== "string") return deliveryError("the request failed", true);
  if (isCertificateCode(code)) return deliveryError(untrusted(code), true);
  const failure = { code, message: messageOf(error) };
  const problem = proxy && proxyProblem(failure, proxy, RECEIVER);
  return deliveryError(problem ? textOf(problem) : code, !isProxyRefusal(failure));
}

/** The code of a TLS error in words. */
export function untrusted(code: string): string {
  return `the certificate of the receiver is not trusted (${code}): ${CA_FILE_HINT}`;
}
