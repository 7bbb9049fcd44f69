import { WebProxy } from "../base/network/proxy.ts";
import { Secret } from "../base/secret.ts";
import type { Config } from "./config.ts";

type Value = string | number | boolean | null | Value[] | Described;
type Described = { [key: string]: Value };

/**
 * A config as plain JSON, for `pg321 check`: every setting of `Config` under its name there, in the order of its schema;
 * secrets as `[secret]`, a proxy as host and port, unset settings as null. `unusable` is left out, because check sets nothing aside.
 */
export function describeConfig(config: Config): Described {
  const { unusable: _, database, ...settings } = config;
  const described = describeTable({ ...settings, database: database.map(({ lines: _, ...table }) => table) });
  return Object.fromEntries(
    Object.keys(config).flatMap((key) => (key in described ? [[key, described[key] ?? null]] : [])),
  );
}

function describeTable(table: object): Described {
  return Object.fromEntries(Object.entries(table).map(([key, value]) => [key, describeValue(value)]));
}

function describeValue(value: unknown): Value {
  if (value === undefined) return null;
  if (value instanceof Secret || value instanceof WebProxy) return value.toString();
  if (Array.isArray(value)) return value.map(describeValue);
  return typeof value === "object" && value !== null ? describeTable(value) : (value as Value);
}
