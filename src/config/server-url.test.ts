import { describe, expect, test } from "bun:test";
import { parseServerUrl } from "./server-url.ts";

function parsed(text: string): Record<string, unknown> | undefined {
  const connection = parseServerUrl(text);
  if (connection === undefined) return undefined;
  const given = Object.entries(connection).filter(([, value]) => value !== undefined);
  return {
    ...Object.fromEntries(given),
    ...(connection.password && { password: connection.password.reveal() }),
  };
}

describe("server URLs", () => {
  test.each([
    ["postgres://h", { host: "h" }],
    [
      "postgresql://u:p%40%2F%23%25@h:5433/db",
      { host: "h", port: 5433, user: "u", password: "p@/#%", maintenance_database: "db" },
    ],
    ["postgresql://[::1]:5432/", { host: "::1", port: 5432 }],
    [
      "postgresql:///app?host=/run/postgresql&port=5544",
      { host: "/run/postgresql", port: 5544, maintenance_database: "app" },
    ],
    [
      "postgresql://u@%2Fvar%2Frun%2Fpg/a%20b",
      { host: "/var/run/pg", user: "u", maintenance_database: "a b" },
    ],
    ["postgresql:///", {}],
    [
      "postgres://h?sslmode=verify-full&sslrootcert=system&connect_timeout=3",
      { host: "h", sslmode: "verify-full", sslrootcert: "system", connect_timeout_ms: 3000 },
    ],
    ["postgres://h?sslcert=/c.pem&sslkey=/c.key", { host: "h", sslcert: "/c.pem", sslkey: "/c.key" }],
  ])("%s", (text, expected) => expect(parsed(text)).toEqual(expected));

  test.each([
    "",
    "h",
    "mysql://h",
    "https://h",
    "postgres://h1,h2",
    "postgres://h1:1,h2:2",
    "postgres://h:99999",
    "postgres://h:0",
    "postgres://h?host=/run",
    "postgres://h?sslmode=full",
    "postgres://h?sslmode=",
    "postgres://h?target_session_attrs=any",
    "postgres://h?sslrootcert=ca.pem",
    "postgres://h?sslcert=/c.pem",
    "postgres://h?connect_timeout=soon",
    "postgres://u:50%@h",
    "postgres://u:pa/ss@h",
    "postgres://u:p#x@h",
    "postgres://u@h/db#x",
    "postgres://u@h/d b",
    "postgres://u@h/db\n",
  ])("%p is refused", (text) => expect(parseServerUrl(text)).toBeUndefined());
});
