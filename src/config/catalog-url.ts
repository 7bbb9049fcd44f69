import { isAbsolute } from "node:path";
import { Secret } from "../base/secret.ts";
import { SSL_MODES, type SslMode } from "./config.ts";
import { type Leaf, leaf } from "./schema/leaf.ts";
import { HOST_PATTERN } from "./server-url.ts";

/** One server of a catalog in PostgreSQL. */
export interface CatalogHost {
  /** A name, an address, or the directory of a Unix socket. */
  host: string;
  port: number;
}

/** What `catalog.url` says, with its defaults. */
export interface CatalogUrl {
  /** In the order in which they are tried. */
  hosts: readonly CatalogHost[];
  /** Undefined: the name of the account that runs this program. */
  user: string | undefined;
  password: Secret | undefined;
  database: string;
  sslmode: SslMode;
  sslrootcert: string | undefined;
  sslcert: string | undefined;
  sslkey: string | undefined;
  connect_timeout_ms: number;
}

const PORT_DEFAULT = 5432;
const CONNECT_TIMEOUT_S_DEFAULT = "10";
/** The libpq parameters that the URL may have. Others are refused, not ignored. */
const PARAMETERS = ["host", "sslmode", "sslrootcert", "sslcert", "sslkey", "connect_timeout"].concat(
  "target_session_attrs",
);
/** Everything of a URL that may stand before its database. */
const PARTS = /^postgres(?:ql)?:\/\/(?:([^@/?#]*)@)?([^@/?#]*)\/([^/?#]+)(?:\?([^#]*))?$/;

/** A secret as a whole, because it usually contains a password. */
export const catalogUrl: Leaf<Secret> = leaf(
  `a URL such as "postgres://pg321:password@host:5432/pg321?sslmode=verify-full" (several hosts with commas between them; reserved signs such as @ / # % in the password as %40 %2F %23 %25; parameters ${PARAMETERS.join(", ")})`,
  (value) =>
    typeof value === "string" && parseCatalogUrl(value) !== undefined ? new Secret(value) : undefined,
  { isShown: false },
);

/** Undefined for an invalid URL, and for one with parts that pg321 does not support. */
export function parseCatalogUrl(text: string): CatalogUrl | undefined {
  const [isUrl, login = "", hosts = "", database = "", query = ""] = PARTS.exec(text) ?? [];
  if (isUrl === undefined || /[\u0000-\u0020\u007f]/.test(text)) return undefined;
  try {
    const [user = "", password = ""] = splitOnce(login, ":").map(decodeURIComponent);
    const parameters = new Map(new URLSearchParams(query));
    const named = parameters.get("host") ?? "";
    if (hosts !== "" && named !== "") return undefined;
    return checked(parameters, {
      hosts: hostsOf(named === "" ? decodeURIComponent(hosts) : named),
      user: user || undefined,
      password: password === "" ? undefined : new Secret(password),
      database: decodeURIComponent(database),
    });
  } catch {
    // A percent sign without two hexadecimal digits.
    return undefined;
  }
}

function checked(
  parameters: ReadonlyMap<string, string>,
  place: Pick<CatalogUrl, "user" | "password" | "database"> & { hosts: readonly CatalogHost[] | undefined },
): CatalogUrl | undefined {
  const { hosts, ...login } = place;
  const get = (name: string) => parameters.get(name);
  const sslmode = SSL_MODES.find((mode) => mode === (get("sslmode") ?? "prefer"));
  const timeout = get("connect_timeout") ?? CONNECT_TIMEOUT_S_DEFAULT;
  const files = [get("sslrootcert"), get("sslcert"), get("sslkey")];
  const isSound =
    [...parameters.keys()].every((name) => PARAMETERS.includes(name)) &&
    files.every(
      (file, index) => file === undefined || isAbsolute(file) || (index === 0 && file === "system"),
    ) &&
    parameters.has("sslcert") === parameters.has("sslkey") &&
    (get("target_session_attrs") ?? "read-write") === "read-write" &&
    /^[1-9]\d{0,4}$/.test(timeout);
  if (!isSound || hosts === undefined || sslmode === undefined) return undefined;
  return {
    hosts,
    ...login,
    sslmode,
    sslrootcert: get("sslrootcert"),
    sslcert: get("sslcert"),
    sslkey: get("sslkey"),
    connect_timeout_ms: Number(timeout) * 1000,
  };
}

/** The same URL without the password that it may contain. */
export function withoutPassword(url: string): string {
  return url.replace(/^(postgres(?:ql)?:\/\/[^@/?#:]*):[^@/?#]*@/i, "$1@");
}

/** `one:5432,two,[::1]:5433`, or the directory of a socket; localhost if there is none. */
function hostsOf(text: string): CatalogHost[] | undefined {
  const hosts = (text || "localhost").split(",").map((one) => {
    const [, bracketed, plain, port = String(PORT_DEFAULT)] =
      /^(?:\[([^\]]+)\]|(\/.*|[^:]+))(?::(\d{1,5}))?$/.exec(one) ?? [];
    return { host: bracketed ?? plain ?? "", port: Number(port) };
  });
  const isSound = ({ host, port }: CatalogHost) => HOST_PATTERN.test(host) && port > 0 && port < 65_536;
  return hosts.every(isSound) ? hosts : undefined;
}

function splitOnce(text: string, at: string): string[] {
  const index = text.indexOf(at);
  return index === -1 ? [text] : [text.slice(0, index), text.slice(index + at.length)];
}

/** Where a catalog is, without its login: `postgres://one:5432,two:5432/pg321`. */
export function catalogPlace({ hosts, database }: Pick<CatalogUrl, "hosts" | "database">): string {
  const named = hosts.map(({ host, port }) => `${host.includes(":") ? `[${host}]` : host}:${port}`);
  return `postgres://${named.join(",")}/${database}`;
}
