import { join } from "node:path";
import * as v from "valibot";
import { type Config, DEFAULT_STATE_DIR } from "../config.ts";
import { cleanupSchema } from "./cleanup.ts";
import { compressionSchema } from "./compression.ts";
import { dumpSchema } from "./dump.ts";
import { encryptionSchema } from "./encryption.ts";
import { guardSchema } from "./guard.ts";
import { httpSchema } from "./http.ts";
import { absolutePath, choice, leaf } from "./leaf.ts";
import { notifySchema } from "./notify.ts";
import { restoreTestSchema } from "./restore-test.ts";
import { ruleSchema } from "./rule.ts";
import { scheduleSchema, withRestoreTests } from "./schedule.ts";
import { serverSchema } from "./server.ts";
import { storagesSchema } from "./storage.ts";
import { namedTables, table } from "./table.ts";

const catalog = table("the [catalog] table", {
  type: v.optional(choice(["sqlite"]), "sqlite"),
  path: v.optional(absolutePath()),
});

const timezone = leaf('the name of a time zone, such as "Europe/Berlin" or "UTC"', (value) =>
  typeof value === "string" && isTimezone(value) ? value : undefined,
);

/** The whole file: yields a `Config` without the members that describe the file itself. */
export const configSchema = v.pipe(
  table("the top level", {
    timezone: v.optional(timezone),
    state_dir: v.optional(absolutePath(), DEFAULT_STATE_DIR),
    temp_dir: v.optional(absolutePath()),
    server: namedTables("server", serverSchema),
    storage: storagesSchema,
    encryption: v.optional(encryptionSchema, {}),
    compression: v.optional(compressionSchema, {}),
    catalog: v.optional(catalog, {}),
    dump: v.optional(dumpSchema, {}),
    guard: v.optional(guardSchema, {}),
    rule: v.optional(ruleSchema, {}),
    cleanup: v.optional(cleanupSchema, {}),
    schedule: v.optional(scheduleSchema, {}),
    restore_test: v.optional(restoreTestSchema),
    http: v.optional(httpSchema, {}),
    notify: v.optional(namedTables("notify", notifySchema)),
  }),
  v.transform(
    (given): Omit<Config, "file" | "checksum" | "warnings" | "unusable"> => ({
      timezone: given.timezone ?? Intl.DateTimeFormat().resolvedOptions().timeZone,
      state_dir: given.state_dir,
      temp_dir: given.temp_dir ?? join(given.state_dir, "tmp"),
      server: given.server,
      storage: given.storage,
      encryption: {
        mode: given.encryption.mode,
        recipients: given.encryption.recipients,
        identity_file: given.encryption.identity_file,
        identity_passphrase: given.encryption.identity_passphrase,
        signing_key_file: given.encryption.signing_key_file ?? join(given.state_dir, "signing.key"),
      },
      compression: given.compression,
      catalog: { type: given.catalog.type, path: given.catalog.path ?? join(given.state_dir, "catalog.db") },
      dump: given.dump,
      guard: given.guard,
      rule: given.rule,
      cleanup: given.cleanup,
      schedule: withRestoreTests(given.schedule, given.restore_test !== undefined),
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
