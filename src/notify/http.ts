import { deliveryError } from "./notifier.ts";

export interface HttpMessage {
  url: string;
  headers: Record<string, string>;
  body: string;
}

/** Refusals that may pass: a time-out and too many requests. */
const PASSING = [408, 425, 429];

/**
 * POSTs a message; any 2xx means that it was taken. A redirect is a refusal: it would take what is secret in
 * the message to another place.
 */
export async function post({ url, headers, body }: HttpMessage, signal: AbortSignal): Promise<void> {
  const response = await answer(url, { method: "POST", headers, body, redirect: "manual", signal }, signal);
  // What it says is not needed, and may quote what was sent.
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
    // Its message may hold the URL; its code does not.
    const { code } = error as { code?: unknown };
    throw deliveryError(typeof code === "string" ? code : "the request failed", true);
  }
}
