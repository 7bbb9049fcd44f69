import { isIPv6 } from "node:net";
import { isAbsolute } from "node:path";
import * as v from "valibot";
import type { HttpConfig, Listen } from "../config.ts";
import { type Leaf, leaf, secret, text } from "./leaf.ts";
import { list, table } from "./table.ts";

const listen: Leaf<Listen> = leaf(
  'an address and port such as "127.0.0.1:8321" or "[::1]:8321", "unix:/run/pg321/http.sock", or "off"',
  (value) => (typeof value === "string" ? parseListen(value) : undefined),
);

export const httpSchema = v.pipe(
  table("the [http] table", {
    listen: v.optional(listen, "127.0.0.1:8321"),
    token: v.optional(secret("a token of at least 16 characters, which clients send as a bearer token")),
    hosts: v.optional(
      list(
        text("a host name, without a port", /^[A-Za-z0-9.-]+$|^\[[0-9A-Fa-f:.]+\]$/),
        'an array such as ["backup.example.com"]',
      ),
      [],
    ),
  }),
  v.rawCheck(({ dataset, addIssue }) => {
    const { token } = dataset.typed ? dataset.value : {};
    if (token === undefined || token.reveal().length >= 16) return;
    const input = dataset.value as Record<string, unknown>;
    const path = { type: "object" as const, origin: "value" as const, input, key: "token", value: undefined };
    addIssue({ message: "found a token of fewer than 16 characters: it could be guessed", path: [path] });
  }),
  v.transform((http): HttpConfig => ({ listen: http.listen, token: http.token, hosts: http.hosts })),
);

/** Parses `http.listen`. Port 0 stands for any free port; the log has the actual one. */
function parseListen(value: string): Listen | undefined {
  if (value === "off") return { type: "off" };
  if (value.startsWith("unix:")) {
    const path = value.slice("unix:".length);
    // Linux limits the path of a socket to 107 bytes.
    return isAbsolute(path) && Buffer.byteLength(path) <= 107 ? { type: "unix", path } : undefined;
  }
  const match = /^(?:\[([^\]]+)\]|([^:[\]\s]+)):(\d{1,5})$/.exec(value);
  const [, ipv6, host, port] = match ?? [];
  if (port === undefined || Number(port) > 65_535) return undefined;
  if (ipv6 !== undefined) return isIPv6(ipv6) ? { type: "tcp", host: ipv6, port: Number(port) } : undefined;
  return host === undefined ? undefined : { type: "tcp", host, port: Number(port) };
}

/** A listen address as it is written in the config. */
export function listenText(listen: Listen): string {
  if (listen.type === "off") return "off";
  if (listen.type === "unix") return `unix:${listen.path}`;
  return `${listen.host.includes(":") ? `[${listen.host}]` : listen.host}:${listen.port}`;
}
