import { BlockList, isIP } from "node:net";
import { WebProxy } from "../base/network/proxy.ts";
import { Secret } from "../base/secret.ts";
import type { Config, NotifyConfig, StorageConfig } from "./config.ts";
import type { ValueSource } from "./schema/values.ts";

type Environment = ValueSource["env"];

/** By the scheme of the requested URL. The lower-case name comes first, as in curl. */
const VARIABLES = {
  "https:": ["https_proxy", "HTTPS_PROXY"],
  "http:": ["http_proxy", "HTTP_PROXY"],
} as const;
const EXCEPTIONS = ["no_proxy", "NO_PROXY"] as const;

/** All variables about proxies. */
export const PROXY_VARIABLES: readonly string[] = [...Object.values(VARIABLES).flat(), ...EXCEPTIONS];

/** The variables of the file and of the process, which take precedence in any spelling: `HTTPS_PROXY` over `https_proxy`. */
export function environmentOver(inFile: Environment, own: Environment): Environment {
  const isVoid = (name: string) =>
    own[name] !== undefined ||
    [...Object.values(VARIABLES), EXCEPTIONS].some((spellings) => {
      const both: readonly string[] = spellings;
      return both.includes(name) && both.some((spelling) => own[spelling] !== undefined);
    });
  return { ...Object.fromEntries(Object.entries(inFile).filter(([name]) => !isVoid(name))), ...own };
}

/** A variable with an unusable proxy. Its value may contain a password and is not shown. */
export class ProxyMistake extends Error {
  constructor(variable: string) {
    super(
      `found something else in environment variable "${variable}", expected the URL of an HTTP proxy (http://host:port, or http://user:password@host:port)`,
    );
  }
}

/**
 * Adds to every storage and notifier the proxy for its requests. `inFile`: the variables from the file beside the
 * config. Throws a `ProxyMistake`.
 */
export function withProxies<T extends Pick<Config, "storage" | "notify">>(
  config: T,
  env: Environment,
  inFile: Environment = {},
): T {
  return {
    ...config,
    storage: config.storage.map((storage): StorageConfig => {
      if (storage.type !== "s3") return storage;
      return { ...storage, proxy: proxyFor(requestUrl(storage), env, inFile) };
    }),
    notify: config.notify.map((notify): NotifyConfig => {
      if (notify.type === "email" || notify.type === "command") return notify;
      const url = notify.url instanceof Secret ? notify.url.reveal() : notify.url;
      return { ...notify, proxy: proxyFor(new URL(url), env, inFile) };
    }),
  };
}

function requestUrl({
  endpoint,
  bucket,
  path_style,
}: {
  endpoint: string;
  bucket: string;
  path_style: boolean;
}) {
  const url = new URL(endpoint);
  if (!path_style) url.hostname = `${bucket}.${url.hostname}`;
  return url;
}

/**
 * The proxy for a URL by HTTPS_PROXY or HTTP_PROXY and NO_PROXY, upper or lower case. An empty variable is as good
 * as none. Throws a `ProxyMistake`.
 */
export function proxyFor(url: URL, env: Environment, inFile: Environment = {}): WebProxy | undefined {
  const names = url.protocol === "https:" ? VARIABLES["https:"] : VARIABLES["http:"];
  const variable = names.find((name) => env[name] !== undefined);
  const value = variable && env[variable]?.trim();
  if (!variable || !value || isExcepted(url, exceptionsIn(env))) return undefined;
  // As in curl, a proxy without a scheme is an HTTP proxy.
  const text = value.includes("://") ? value : `http://${value}`;
  const proxy = URL.parse(text);
  if (!proxy || !["http:", "https:"].includes(proxy.protocol) || proxy.hostname === "")
    throw new ProxyMistake(variable);
  const port = portOf(proxy);
  return new WebProxy({
    url: new Secret(proxy.href),
    place: `${proxy.hostname}:${port}`,
    variable,
    isInFile: inFile[variable]?.trim() === value,
  });
}

function exceptionsIn(env: Environment): string[] {
  const given = EXCEPTIONS.map((name) => env[name]).find((value) => value !== undefined) ?? "";
  return given.split(/[\s,]+/).filter((entry) => entry !== "");
}

/** `*`; a name, which includes its subdomains; an address, or a network such as 10.0.0.0/8; each with or without a port. */
function isExcepted(url: URL, exceptions: readonly string[]): boolean {
  const host = url.hostname
    .replace(/^\[(.*)\]$/, "$1")
    .replace(/\.$/, "")
    .toLowerCase();
  return exceptions.some((written) => {
    if (written === "*") return true;
    if (written.includes("/")) return isInNetwork(host, written);
    const { name, port } = entryOf(written.toLowerCase());
    if (port !== undefined && port !== portOf(url)) return false;
    return host === name || (isIP(host) === 0 && host.endsWith(`.${name}`));
  });
}

function entryOf(written: string): { name: string; port: string | undefined } {
  if (isIP(written) > 0) return { name: written, port: undefined };
  const [, bracketed, plain, port] = /^(?:\[([^\]]+)\]|([^:]*))(?::(\d+))?$/.exec(written) ?? [];
  const name = (bracketed ?? plain ?? "").replace(/^\*?\./, "").replace(/\.$/, "");
  return { name: name === "" ? "\0" : name, port };
}

function isInNetwork(host: string, written: string): boolean {
  const [address = "", bits = ""] = written.split("/");
  const kind = isIP(address);
  if (kind === 0 || isIP(host) !== kind || !/^\d{1,3}$/.test(bits) || Number(bits) > (kind === 4 ? 32 : 128))
    return false;
  const family = kind === 4 ? "ipv4" : "ipv6";
  const network = new BlockList();
  network.addSubnet(address, Number(bits), family);
  return network.check(host, family);
}

function portOf(url: URL): string {
  return url.port || (url.protocol === "https:" ? "443" : "80");
}
