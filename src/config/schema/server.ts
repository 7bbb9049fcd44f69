import * as v from "valibot";
import { type ServerConfig, SSL_MODES, type SslMode, type StandbyConfig } from "../config.ts";
import { HOOK_KEYS } from "../database/hooks.ts";
import { HOST_PATTERN, type ServerUrl, serverUrl } from "../server-url.ts";
import { absolutePath, boolean, choice, databaseNames, duration, integer, secret, text } from "./leaf.ts";
import { list, type Report, rule, table } from "./table.ts";
import { isTable } from "./values.ts";

export const NAME = text(
  "a name of up to 40 lower-case letters, digits, _ and -, which starts with a letter or digit",
  /^[a-z0-9][a-z0-9_-]{0,39}$/,
);

export const CONNECTION_DEFAULTS = {
  port: 5432,
  user: "postgres",
  sslmode: "prefer",
  maintenance_database: "postgres",
  connect_timeout_ms: 10_000,
} as const;

/** Keys that say in single fields what `url` says in one. */
const CONNECTION_KEYS = {
  host: v.optional(text("a host name, an address, or the directory of a unix socket", HOST_PATTERN)),
  port: v.optional(integer(1, 65_535)),
  user: v.optional(text("the name of a role")),
  password: v.optional(secret("a password")),
  sslmode: v.optional(choice(SSL_MODES)),
  sslrootcert: v.optional(absolutePath("system")),
  sslcert: v.optional(absolutePath()),
  sslkey: v.optional(absolutePath()),
  maintenance_database: v.optional(text("the name of a database")),
  connect_timeout: v.optional(duration()),
};

const databases = list(databaseNames, 'an array such as ["app", "shop_*"]');

/** The modes in which libpq accepts any certificate, even if authorities are configured. */
const UNCHECKED_MODES: readonly unknown[] = ["disable", "allow", "prefer"] satisfies SslMode[];

/** `ca_file` is the same as sslrootcert, under the name that storages and notifiers use. It must have an effect. */
function caFileRule({ ca_file, url, ...keys }: Readonly<Record<string, unknown>>, report: Report): void {
  if (ca_file === undefined) return;
  const { sslmode, sslrootcert } = isTable(url) ? url : keys;
  if (sslrootcert !== undefined) report(["ca_file"], "found beside sslrootcert, expected one of them");
  if (UNCHECKED_MODES.includes(sslmode))
    report(
      ["ca_file"],
      `found beside sslmode "${sslmode}", which does not check certificates, expected "verify-full" (the default here) or "verify-ca"`,
    );
}

const standbySchema = v.pipe(
  table("the standby table of a [[server]]", {
    pause_replay: v.optional(boolean(), false),
    max_lag: v.optional(duration(), "1h"),
  }),
  v.transform(({ pause_replay, max_lag }): StandbyConfig => ({ pause_replay, max_lag_ms: max_lag })),
);

export const serverSchema = v.pipe(
  table("a [[server]] table", {
    name: NAME,
    url: v.optional(serverUrl),
    ...CONNECTION_KEYS,
    ca_file: v.optional(absolutePath("system")),
    databases: v.optional(databases, ["*"]),
    exclude: v.optional(databases, []),
    group: v.optional(choice(["consistent"])),
    bin_dir: v.optional(absolutePath()),
    globals: v.optional(boolean(), true),
    standby: v.optional(standbySchema, {}),
    ...HOOK_KEYS,
  }),
  rule((server, report) => {
    for (const key of Object.keys(CONNECTION_KEYS)) {
      if (server["url"] !== undefined && server[key] !== undefined) {
        report([key], "found together with url, expected either url or single keys");
      }
    }
    const databases = server["databases"];
    if (Array.isArray(databases) && databases.length === 0) {
      report(["databases"], 'found an empty array, expected at least one name or glob ("*" for all)');
    }
    const isLone = (server["sslcert"] === undefined) !== (server["sslkey"] === undefined);
    if (isLone && server["url"] === undefined) {
      report(
        [server["sslcert"] === undefined ? "sslkey" : "sslcert"],
        "found alone, expected sslcert and sslkey together",
      );
    }
  }),
  rule(caFileRule),
  v.transform((server): ServerConfig => {
    const { name, url, ca_file, databases, exclude, group, bin_dir, globals, standby, connect_timeout } =
      server;
    const fields: ServerUrl = { ...server, connect_timeout_ms: connect_timeout };
    const connection = url ?? fields;
    return {
      name,
      host: connection.host,
      port: connection.port ?? CONNECTION_DEFAULTS.port,
      user: connection.user ?? CONNECTION_DEFAULTS.user,
      password: connection.password,
      // A config with authorities expects the certificate to be checked.
      sslmode: connection.sslmode ?? (ca_file === undefined ? CONNECTION_DEFAULTS.sslmode : "verify-full"),
      sslrootcert: ca_file ?? connection.sslrootcert,
      sslcert: connection.sslcert,
      sslkey: connection.sslkey,
      maintenance_database: connection.maintenance_database ?? CONNECTION_DEFAULTS.maintenance_database,
      connect_timeout_ms: connection.connect_timeout_ms ?? CONNECTION_DEFAULTS.connect_timeout_ms,
      databases,
      exclude,
      group,
      bin_dir,
      globals,
      standby,
      ...{ pre_backup: server.pre_backup, post_backup: server.post_backup, on_failure: server.on_failure },
    };
  }),
);
