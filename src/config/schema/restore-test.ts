import * as v from "valibot";
import type { RestoreTestConfig, RestoreTestServer, SqlCheckConfig } from "../config.ts";
import type { ServerUrl } from "../server-url.ts";
import { parseServerUrl } from "../server-url.ts";
import { boolean, duration, leaf, serverDatabaseNames, size } from "./leaf.ts";
import { CONNECTION_DEFAULTS, NAME } from "./server.ts";
import { list, namedTables, rule, table } from "./table.ts";

const server = leaf(
  '"throwaway", "source", or a URL such as "postgres://user:password@host/postgres" of a server on which databases may be made',
  (value): RestoreTestConfig["server"] | undefined => {
    if (value === "throwaway" || value === "source") return value;
    const url = typeof value === "string" ? parseServerUrl(value) : undefined;
    return url && connectionOf(url);
  },
  { isShown: false, choices: ["throwaway", "source"] },
);

function connectionOf(url: ServerUrl): RestoreTestServer {
  return {
    host: url.host,
    port: url.port ?? CONNECTION_DEFAULTS.port,
    user: url.user ?? CONNECTION_DEFAULTS.user,
    password: url.password,
    sslmode: url.sslmode ?? CONNECTION_DEFAULTS.sslmode,
    sslrootcert: url.sslrootcert,
    sslcert: url.sslcert,
    sslkey: url.sslkey,
    maintenance_database: url.maintenance_database ?? CONNECTION_DEFAULTS.maintenance_database,
    connect_timeout_ms: url.connect_timeout_ms ?? CONNECTION_DEFAULTS.connect_timeout_ms,
  };
}

/** A value in TOML's own type; PostgreSQL's answer is compared as text. */
const answer = leaf(
  "a text, a whole number, true or false",
  (value) =>
    typeof value === "string" || typeof value === "boolean" || Number.isSafeInteger(value)
      ? String(value)
      : undefined,
  { form: { type: ["string", "integer", "boolean"] } },
);

const statement = leaf(
  'a query with one answer, such as "select count(*) > 0 from public.orders"',
  (value) =>
    typeof value === "string" && value.trim() !== "" && !value.includes("\u0000") ? value : undefined,
);

export const allowedError = leaf(
  "a part of an error of pg_restore, or a glob for the whole of it that does not match every error",
  (value) => (typeof value === "string" && !/^[*?\s]*$/.test(value) ? value : undefined),
);

const check = v.pipe(
  table("a [[restore_test.check]] table", {
    name: NAME,
    databases: v.optional(list(serverDatabaseNames, 'an array such as ["app", "main/shop_*"]'), ["*"]),
    sql: statement,
    expect: answer,
    timeout: v.optional(duration(), "5m"),
  }),
  rule(({ databases }, report) => {
    if (Array.isArray(databases) && databases.length === 0)
      report(["databases"], 'found an empty array, expected at least one name or glob ("*" for all)');
  }),
  v.transform(
    ({ timeout, ...given }): SqlCheckConfig => ({
      ...given,
      timeout_ms: timeout,
    }),
  ),
);

export const checkSchema = namedTables("restore_test.check", check);

/** The `[restore_test]` table. */
export const restoreTestSchema = v.pipe(
  table("the [restore_test] table", {
    server: v.optional(server, "throwaway"),
    allowed_errors: v.optional(list(allowedError, 'an array such as ["*plpython3u*"]'), []),
    max_bytes: v.optional(size()),
    timeout: v.optional(duration(), "12h"),
    adopt: v.optional(boolean(), false),
    check: v.optional(checkSchema),
  }),
  v.transform(
    ({ timeout, check, max_bytes, ...given }): RestoreTestConfig => ({
      ...given,
      max_bytes,
      timeout_ms: timeout,
      check: check ?? [],
    }),
  ),
);
