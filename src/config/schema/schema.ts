import { join } from "node:path";
import * as v from "valibot";
import { catalogUrl } from "../catalog-url.ts";
import { type Config, DEFAULT_STATE_DIR } from "../config.ts";
import { OFF } from "../cron.ts";
import { databaseKeepsFit, databasesFit } from "../database/fit.ts";
import { databasesSchema } from "../database/schema.ts";
import { cleanupSchema } from "./cleanup.ts";
import { compressionSchema } from "./compression.ts";
import { dumpSchema } from "./dump.ts";
import { encryptionSchema } from "./encryption.ts";
import { fleetSchema } from "./fleet.ts";
import { guardSchema } from "./guard.ts";
import { httpSchema } from "./http.ts";
import { absolutePath, choice, leaf } from "./leaf.ts";
import { notifySchema } from "./notify.ts";
import { restoreTestSchema } from "./restore-test.ts";
import { ruleSchema } from "./rule.ts";
import { OWNER_JOBS, scheduleSchema, withDefaults } from "./schedule.ts";
import { serverSchema } from "./server.ts";
import { storagesSchema } from "./storage.ts";
import { namedTables, rule, table } from "./table.ts";
import { isTable } from "./values.ts";
import { verifySchema } from "./verify.ts";

const catalog = v.pipe(
  table("the [catalog] table", {
    type: v.optional(choice(["sqlite"])),
    path: v.optional(absolutePath()),
    url: v.optional(catalogUrl),
  }),
  rule((given, report) => {
    if (given["url"] === undefined) return;
    for (const key of ["type", "path"])
      if (given[key] !== undefined)
        report([key], "found together with url, expected either url (PostgreSQL) or path (SQLite)");
  }),
);

const servers = namedTables("server", serverSchema);
const OWNER_ONLY =
  "a host without a [[server]] only tests restores, and must not change another host's backups";

const timezone = leaf('the name of a time zone, such as "Europe/Berlin" or "UTC"', (value) =>
  typeof value === "string" && isTimezone(value) ? value : undefined,
);

/** The whole file: yields a `Config` without the members that describe the file itself. */
export const configSchema = v.pipe(
  table("the top level", {
    timezone: v.optional(timezone),
    state_dir: v.optional(absolutePath(), DEFAULT_STATE_DIR),
    temp_dir: v.optional(absolutePath()),
    server: v.optional(servers),
    database: v.optional(databasesSchema, []),
    storage: storagesSchema,
    encryption: v.optional(encryptionSchema, {}),
    compression: v.optional(compressionSchema, {}),
    catalog: v.optional(catalog, {}),
    fleet: v.optional(fleetSchema, {}),
    dump: v.optional(dumpSchema, {}),
    guard: v.optional(guardSchema, {}),
    rule: v.optional(ruleSchema, {}),
    cleanup: v.optional(cleanupSchema, {}),
    verify: v.optional(verifySchema, {}),
    schedule: v.optional(scheduleSchema, {}),
    restore_test: v.optional(restoreTestSchema),
    http: v.optional(httpSchema, {}),
    notify: v.optional(namedTables("notify", notifySchema)),
  }),
  rule(({ server, restore_test, schedule }, report) => {
    if (server !== undefined) {
      if (isTable(restore_test) && restore_test["adopt"] === true)
        report(["restore_test", "adopt"], "found true, which is for a host without a [[server]] of its own");
      return;
    }
    if (!isTable(restore_test) || restore_test["adopt"] !== true) {
      report(["server"], `missing, expected ${v.getDescription(servers)}`);
      return;
    }
    for (const job of OWNER_JOBS)
      if (isTable(schedule) && schedule[job] !== undefined && schedule[job] !== OFF)
        report(["schedule", job], `found a schedule, expected "off": ${OWNER_ONLY}`);
  }),
  rule(databasesFit),
  rule((_, report, sound) => {
    if (sound) databaseKeepsFit(sound.database, sound.storage, report);
  }),
  v.transform(
    (given): Omit<Config, "file" | "checksum" | "warnings" | "unusable"> => ({
      timezone: given.timezone ?? Intl.DateTimeFormat().resolvedOptions().timeZone,
      state_dir: given.state_dir,
      temp_dir: given.temp_dir ?? join(given.state_dir, "tmp"),
      server: given.server ?? [],
      database: given.database,
      storage: given.storage,
      encryption: {
        mode: given.encryption.mode,
        recipients: given.encryption.recipients,
        identity_file: given.encryption.identity_file,
        identity_passphrase: given.encryption.identity_passphrase,
        signing_key_file: given.encryption.signing_key_file ?? join(given.state_dir, "signing.key"),
      },
      compression: given.compression,
      catalog:
        given.catalog.url === undefined
          ? { type: "sqlite", path: given.catalog.path ?? join(given.state_dir, "catalog.db") }
          : { type: "postgres", url: given.catalog.url },
      fleet: given.fleet,
      dump: given.dump,
      guard: given.guard,
      rule: given.rule,
      cleanup: given.cleanup,
      verify: given.verify,
      schedule: withDefaults(given.schedule, {
        isOwner: given.server !== undefined,
        testsRestores: given.restore_test !== undefined,
      }),
      restore_test: given.restore_test ?? v.parse(restoreTestSchema, {}),
      http: given.http,
      notify: given.notify ?? [],
    }),
  ),
);

function isTimezone(name: string): boolean {
  // Intl also accepts offsets such as +01:00, which have no summer time.
  if (!/^[A-Za-z]/.test(name)) return false;
  try {
    return new Intl.DateTimeFormat("en", { timeZone: name }) !== undefined;
  } catch {
    return false;
  }
}
