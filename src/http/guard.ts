import { createHash, timingSafeEqual } from "node:crypto";
import { isIP, isIPv4 } from "node:net";
import { HTTP_BODY_BYTES_MAX } from "../base/limits.ts";
import type { Secret } from "../base/secret.ts";
import type { HttpConfig, Listen } from "../config/config.ts";

const METHODS = ["GET", "HEAD"] as const;

/** A request without a body. */
export interface Asked {
  method: string;
  /** The target of the request line, in any form. */
  url: string;
  headers: Headers;
}

/** Why a request is refused. */
export interface Refusal {
  status: 401 | 405 | 413 | 421;
  /** Lower case, no full stop. */
  message: string;
  headers?: Record<string, string>;
}

/** `/health` needs no token: load balancers and probes often cannot send one. */
const OPEN_PATHS = ["/health"];

/** At this challenge a browser asks for name and password; other clients learn what is missing. */
const CHALLENGE = 'Bearer realm="pg321", Basic realm="pg321: any name, and the token as the password"';

/** Checks a request before any work is done for it. Undefined: it may be answered. */
export function refusalOf(request: Asked, path: string, http: HttpConfig): Refusal | undefined {
  const { method, headers } = request;
  if (!isKnownHost(headers.get("host"), http)) {
    return {
      status: 421,
      message: "unknown host name; if this endpoint should be reached by it, add it to http.hosts",
    };
  }
  const bodyBytes = headers.has("transfer-encoding")
    ? Number.POSITIVE_INFINITY
    : Number(headers.get("content-length") ?? 0);
  // No body is read, so nothing can follow it on the connection.
  const close: Record<string, string> = bodyBytes === 0 ? {} : { connection: "close" };
  const withBody: Refusal = { status: 413, message: "a request must not have a body", headers: close };
  if (bodyBytes > HTTP_BODY_BYTES_MAX) return withBody;
  if (!METHODS.some((one) => one === method)) {
    return {
      status: 405,
      message: "method not allowed: this endpoint answers only GET and HEAD",
      headers: { allow: METHODS.join(", "), ...close },
    };
  }
  if (bodyBytes !== 0) return withBody;
  if (http.token === undefined || OPEN_PATHS.includes(path) || hasToken(headers, http.token)) return;
  return {
    status: 401,
    message: "a token is required: send it as a bearer token, or as the password of any user name",
    headers: { "www-authenticate": CHALLENGE },
  };
}

/**
 * A web page can let its own host name point at the loopback address (DNS rebinding) and read the answers, but the
 * browser still sends that name in the Host header. So names are checked if only this host can connect, and if the
 * config lists names. IP addresses and `localhost` pass: no page can take these over. A request without a Host
 * header does not come from a browser, and a browser cannot connect to a socket file.
 */
function isKnownHost(host: string | null, { listen, hosts }: HttpConfig): boolean {
  if (host === null || listen.type !== "tcp") return true;
  if (hosts.length === 0 && !isLoopback(listen)) return true;
  const name = /^(\[[0-9A-Fa-f:.]+\]|[^:[\]]+)(?::\d{1,5})?$/.exec(host)?.[1]?.toLowerCase();
  if (name === undefined) return false;
  const isAddress = isIP(name.replace(/^\[|\]$/g, "")) !== 0;
  return isAddress || name === "localhost" || hosts.some((one) => one.toLowerCase() === name);
}

/** Whether a bound address (not a host name) is a loopback address. */
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

/** Compares in constant time, so that the duration does not reveal how much of a token is right. */
function isSame(given: string, token: string): boolean {
  const digest = (text: string) => createHash("sha256").update(text).digest();
  return timingSafeEqual(digest(given), digest(token));
}
