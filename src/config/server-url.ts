import { isAbsolute } from "node:path";
import { Secret } from "../base/secret.ts";
import { SSL_MODES, type SslMode } from "./config.ts";
import { type Leaf, leaf } from "./schema/leaf.ts";

/** How to connect to a server. The defaults are the same for a URL and for single keys. */
export interface ServerUrl {
  host?: string | undefined;
  port?: number | undefined;
  user?: string | undefined;
  password?: Secret | undefined;
  sslmode?: SslMode | undefined;
  sslrootcert?: string | undefined;
  sslcert?: string | undefined;
  sslkey?: string | undefined;
  maintenance_database?: string | undefined;
  connect_timeout_ms?: number | undefined;
}

/** One host: a name, an address, or the directory of a Unix socket. */
export const HOST_PATTERN = /^(?:\/[^,]*|[A-Za-z0-9._:%-]+)$/;

/** The libpq parameters that a URL may have. Others are refused, not ignored. */
export const URL_PARAMETERS = [
  "host",
  "port",
  "sslmode",
  "sslrootcert",
  "sslcert",
  "sslkey",
  "connect_timeout",
];

export const serverUrl: Leaf<ServerUrl> = leaf(
  `a URL such as "postgresql://user:password@host:5432/postgres?sslmode=require" (one host; reserved signs such as @ / # % in the password as %40 %2F %23 %25; parameters ${URL_PARAMETERS.join(", ")})`,
  (value) => (typeof value === "string" ? parseServerUrl(value) : undefined),
  { isShown: false },
);

/** Undefined for an invalid URL, and for one with parts that pg321 does not support. */
export function parseServerUrl(text: string): ServerUrl | undefined {
  if (/[\u0000-\u0020\u007f]/.test(text) || !URL.canParse(text)) return undefined;
  const url = new URL(text);
  if (!["postgres:", "postgresql:"].includes(url.protocol) || url.hash !== "") return undefined;
  try {
    return connectionOf(url);
  } catch {
    // A percent sign without two hexadecimal digits.
    return undefined;
  }
}

function connectionOf(url: URL): ServerUrl | undefined {
  const parameters = new Map(url.searchParams);
  if (![...parameters.keys()].every((name) => URL_PARAMETERS.includes(name))) return undefined;
  const hosts = [decodeURIComponent(url.hostname).replace(/^\[(.*)\]$/, "$1"), parameters.get("host") ?? ""];
  const [host, ...others] = hosts.filter((given) => given !== "");
  const port = url.port || parameters.get("port");
  const sslmode = SSL_MODES.find((mode) => mode === parameters.get("sslmode"));
  const timeout = parameters.get("connect_timeout");
  const isSound =
    others.length === 0 &&
    (host === undefined || HOST_PATTERN.test(host)) &&
    (!port || (/^\d{1,5}$/.test(port) && Number(port) > 0 && Number(port) < 65_536)) &&
    (sslmode !== undefined || !parameters.has("sslmode")) &&
    isCertificatePath(parameters.get("sslrootcert"), "system") &&
    isCertificatePath(parameters.get("sslcert")) &&
    isCertificatePath(parameters.get("sslkey")) &&
    parameters.has("sslcert") === parameters.has("sslkey") &&
    (timeout === undefined || /^[1-9]\d{0,4}$/.test(timeout));
  if (!isSound) return undefined;
  return {
    host,
    port: port ? Number(port) : undefined,
    user: decodeURIComponent(url.username) || undefined,
    password: url.password === "" ? undefined : new Secret(decodeURIComponent(url.password)),
    sslmode,
    sslrootcert: parameters.get("sslrootcert"),
    sslcert: parameters.get("sslcert"),
    sslkey: parameters.get("sslkey"),
    maintenance_database: decodeURIComponent(url.pathname.slice(1)) || undefined,
    connect_timeout_ms: timeout === undefined ? undefined : Number(timeout) * 1000,
  };
}

function isCertificatePath(path: string | undefined, word?: string): boolean {
  return path === undefined || path === word || isAbsolute(path);
}
