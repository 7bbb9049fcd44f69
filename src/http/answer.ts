import { parseAccept } from "hono/utils/accept";
import { jsonText } from "../base/text/json.ts";

export type Format = "json" | "text";
export const FORMATS: readonly Format[] = ["json", "text"];

/**
 * JSON for those who name a JSON type and like no kind of text better; text for all others: curl, browsers, and
 * who takes anything.
 */
export function formatOf(headers: Headers): Format {
  let [json, text] = [0, 0];
  for (const { type, q } of parseAccept(headers.get("accept") ?? "")) {
    if (/^application\/(.+\+)?json$/i.test(type)) json = Math.max(json, q);
    if (/^text\//i.test(type)) text = Math.max(text, q);
  }
  return json > 0 && json >= text ? "json" : "text";
}

/** What every answer carries. A browser that shows it runs nothing, loads nothing and hands nothing on. */
const SECURITY: Readonly<Record<string, string>> = {
  "content-security-policy":
    "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
  "referrer-policy": "no-referrer",
  "cross-origin-resource-policy": "same-origin",
  "cache-control": "no-store",
};

/** Adds the headers of `SECURITY` that an answer does not have of its own. */
export function secured(response: Response): Response {
  for (const [name, value] of Object.entries(SECURITY))
    if (!response.headers.has(name)) response.headers.set(name, value);
  return response;
}

/** The policy of a page whose one style has this hash (`sha256-…`). */
export function pagePolicy(styleHash: string): string {
  return `${SECURITY["content-security-policy"]}; style-src '${styleHash}'`;
}

/** In one line where programs that know no JSON look for it, else readable. */
export function jsonAnswer(
  value: unknown,
  status = 200,
  headers: Record<string, string> = {},
  toText: (value: unknown) => string = jsonText,
): Response {
  return new Response(`${toText(value)}\n`, {
    status,
    headers: { "content-type": "application/json", ...headers },
  });
}

export function textAnswer(text: string, status = 200, headers: Record<string, string> = {}): Response {
  return new Response(`${text}\n`, {
    status,
    headers: { "content-type": "text/plain; charset=utf-8", ...headers },
  });
}

/** What went wrong, in the form that the reader takes. */
export function errorAnswer(
  request: { headers: Headers },
  status: number,
  message: string,
  headers: Record<string, string> = {},
): Response {
  return formatOf(request.headers) === "json"
    ? jsonAnswer({ error: message }, status, headers)
    : textAnswer(message, status, headers);
}
