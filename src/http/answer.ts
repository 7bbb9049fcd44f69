import { parseAccept } from "hono/utils/accept";
import { jsonText } from "../base/text/json.ts";

export type Format = "json" | "text";
export const FORMATS: readonly Format[] = ["json", "text"];

/**
 * JSON if the `Accept` header names a JSON type and prefers no text type to it; text otherwise: for curl, browsers
 * and clients that accept anything.
 */
export function formatOf(headers: Headers): Format {
  let [json, text] = [0, 0];
  for (const { type, q } of parseAccept(headers.get("accept") ?? "")) {
    if (/^application\/(.+\+)?json$/i.test(type)) json = Math.max(json, q);
    if (/^text\//i.test(type)) text = Math.max(text, q);
  }
  return json > 0 && json >= text ? "json" : "text";
}

/** Headers of every answer. A browser that shows it runs no script, loads nothing and sends no referrer. */
const SECURITY: Readonly<Record<string, string>> = {
  "content-security-policy":
    "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
  "referrer-policy": "no-referrer",
  "cross-origin-resource-policy": "same-origin",
  "cache-control": "no-store",
};

/** Adds the headers of `SECURITY` that an answer does not set itself. */
export function secured(response: Response): Response {
  for (const [name, value] of Object.entries(SECURITY))
    if (!response.headers.has(name)) response.headers.set(name, value);
  return response;
}

/** The content security policy of a page whose only style sheet has this hash (`sha256-…`). */
export function pagePolicy(styleHash: string): string {
  return `${SECURITY["content-security-policy"]}; style-src '${styleHash}'`;
}

const TYPES: Readonly<Record<Format, string>> = {
  json: "application/json",
  text: "text/plain; charset=utf-8",
};

/** `body`: the whole text as a blob, which many answers share. */
export function answerIn(
  format: Format,
  body: string | Blob,
  status = 200,
  headers: Record<string, string> = {},
): Response {
  return new Response(body, { status, headers: { "content-type": TYPES[format], ...headers } });
}

export function jsonAnswer(json: string, status?: number, headers?: Record<string, string>): Response {
  return answerIn("json", `${json}\n`, status, headers);
}

export function textAnswer(text: string, status?: number, headers?: Record<string, string>): Response {
  return answerIn("text", `${text}\n`, status, headers);
}

/** A page whose only style sheet has this hash. */
export function pageAnswer(html: string | Blob, styleHash: string, status = 200): Response {
  const headers = {
    "content-type": "text/html; charset=utf-8",
    "content-security-policy": pagePolicy(styleHash),
  };
  return new Response(html, { status, headers });
}

/** An error, in the format that the client accepts. */
export function errorAnswer(
  request: { headers: Headers },
  status: number,
  message: string,
  headers: Record<string, string> = {},
): Response {
  return formatOf(request.headers) === "json"
    ? jsonAnswer(jsonText({ error: message }), status, headers)
    : textAnswer(message, status, headers);
}
