import { createHash, timingSafeEqual } from "node:crypto";
import { isIP, isIPv4 } from "node:net";
import type { Secret } from "../base/secret.ts";
import type { HttpConfig, Listen } from "../config/config.ts";

const METHODS = ["GET", "HEAD"] as const;

/** Why a request is turned away. */
export interface Refusal {
  status: 401 | 405 | 413 | 421;
  /** Lower case, no full stop. */
  message: string;
  headers?: Record<string, string>;
}

/** `/health` is for those who cannot have a token, too. */
const OPEN_PATHS = ["/health"];

/** A browser asks for name and password at this, any other reader knows what it lacks. */
const CHALLENGE = 'Bearer realm="pg321", Basic realm="pg321: any name, and the token as the password"';

/** Looks at what came with a request before anything is done for it. Undefined: nothing stands against it. */
export function refusalOf(request: Request, path: string, http: HttpConfig): Refusal | undefined {
  const { method, headers } = request;
  if (!isKnownHost(headers.get("host"), http)) {
    return {
      status: 421,
      message: "this endpoint is not called by that name; add the name to http.hosts if it should be",
    };
  }
  if (!METHODS.some((one) => one === method)) {
    return {
      status: 405,
      message: "this endpoint only reads: GET or HEAD",
      headers: { allow: METHODS.join(", ") },
    };
  }
  if (Number(headers.get("content-length") ?? 0) !== 0 || headers.has("transfer-encoding"))
    return { status: 413, message: "a request must not have a body", headers: { connection: "close" } };
  if (http.token === undefined || OPEN_PATHS.includes(path) || hasToken(headers, http.token)) return;
  return {
    status: 401,
    message: "a token is needed, as a bearer token or as the password of any name",
    headers: { "www-authenticate": CHALLENGE },
  };
}

/**
 * A page in a browser may have its own name point at the loopback (DNS rebinding) and read what answers there,
 * but the browser tells that name. So names are checked where only this host can connect, and where the config
 * names some. Addresses and `localhost` pass: no page can take these over. A request without a name comes from
 * no browser. Over a socket file none can come.
 */
function isKnownHost(host: string | null, { listen, hosts }: HttpConfig): boolean {
  if (host === null || listen.type !== "tcp") return true;
  if (hosts.length === 0 && !isLoopback(listen)) return true;
  const name = /^(\[[0-9A-Fa-f:.]+\]|[^:[\]]+)(?::\d{1,5})?$/.exec(host)?.[1]?.toLowerCase();
  if (name === undefined) return false;
  const isAddress = isIP(name.replace(/^\[|\]$/g, "")) !== 0;
  return isAddress || name === "localhost" || hosts.some((one) => one.toLowerCase() === name);
}

/** Of an address that is listened at, not of a name. */
export function isLoopback({ host }: Extract<Listen, { type: "tcp" }>): boolean {
  const address = host.replace(/^::ffff:/i, "");
  return address === "::1" || (isIPv4(address) && address.startsWith("127."));
}

function hasToken(headers: Headers, token: Secret): boolean {
  const [, scheme = "", given = ""] = /^(\w+) +(\S+)$/.exec(headers.get("authorization") ?? "") ?? [];
  switch (scheme.toLowerCase()) {
    case "bearer":
      return isSame(given, token.reveal());
    case "basic": {
      const text = Buffer.from(given, "base64").toString();
      return isSame(text.slice(text.indexOf(":") + 1), token.reveal());
    }
    default:
      return false;
  }
}

/** Takes as long for a token that is nearly right as for any other of its length. */
function isSame(given: string, token: string): boolean {
  const digest = (text: string) => createHash("sha256").update(text).digest();
  return timingSafeEqual(digest(given), digest(token));
}
