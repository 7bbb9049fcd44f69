import { deliveryError } from "./notifier.ts";

export interface HttpMessage {
  url: string;
  headers: Record<string, string>;
  body: string;
}

/** Refusals that may be temporary: timeouts and too many requests. */
const PASSING = [408, 425, 429];

/**
 * POSTs a message; any 2xx means that it was accepted. A redirect counts as a refusal: it would send the secrets of
 * the message elsewhere.
 */
export async function post({ url, headers, body }: HttpMessage, signal: AbortSignal): Promise<void> {
  const response = await answer(url, { method: "POST", headers, body, redirect: "manual", signal }, signal);
  // The body is not needed, and may quote the message.
  await response.body?.cancel().catch(() => {});
  const { status } = response;
  if (status >= 200 && status < 300) return;
  throw deliveryError(`status ${status}`, status >= 500 || PASSING.includes(status));
}

async function answer(url: string, request: RequestInit, signal: AbortSignal): Promise<Response> {
  try {
    return await fetch(url, request);
  } catch (error) {
    signal.throwIfAborted();
    // The error's message may contain the URL; its code does not.
    const { code } = error as { code?: unknown };
    throw deliveryError(typeof code === "string" ? code : "the request failed", true);
  }
}
