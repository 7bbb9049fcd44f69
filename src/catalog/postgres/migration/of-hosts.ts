import { NOW } from "./totals.ts";
import { triggerFunction } from "./trigger-function.ts";

/** As in SQLite's catalog. What was recorded for all hosts holds for each of them until it has a record of its own. */
export const CLOCKS_OF_HOSTS = `
  ALTER TABLE clock_trust ADD COLUMN host TEXT NOT NULL DEFAULT '';
  ALTER TABLE clock_trust ALTER COLUMN host DROP DEFAULT;
  ALTER TABLE clock_trust DROP COLUMN single;
  INSERT INTO clock_trust (host, trusted_at, accepted_until)
    SELECT hosts.host, least(trusted_at, ${NOW}), accepted_until FROM hosts CROSS JOIN clock_trust;
  DELETE FROM clock_trust WHERE host = '' AND EXISTS (SELECT 1 FROM hosts);
  ALTER TABLE clock_trust ADD PRIMARY KEY (host);
  `;

/** As in SQLite's catalog. The last check, whichever host made it, is that of each host that has the storage. */
export const STORAGES_OF_HOSTS: string = `
  ALTER TABLE storages ADD COLUMN host TEXT NOT NULL DEFAULT '';
  ALTER TABLE storages ALTER COLUMN host DROP DEFAULT;
  ALTER TABLE storages DROP CONSTRAINT storages_pkey;
  ALTER TABLE storages ADD PRIMARY KEY (host, name);
  INSERT INTO storages (host, name, checked_at, check_error, free_bytes, total_bytes, errors)
    SELECT hosts.host, name, checked_at, check_error, free_bytes, total_bytes, 0 FROM storages JOIN hosts
      ON EXISTS (SELECT 1 FROM jsonb_array_elements(hosts.storages::jsonb) AS one WHERE one ->> 'name' = storages.name)
    WHERE checked_at IS NOT NULL;
  UPDATE storages SET checked_at = NULL, check_error = NULL, free_bytes = NULL, total_bytes = NULL
    WHERE host = '' AND EXISTS (SELECT 1 FROM hosts);
  ${triggerFunction(
    "count_failure",
    `INSERT INTO storages (host, name, errors, last_error, last_error_at) VALUES ('', NEW.storage, 1, NEW.error, ${NOW})
      ON CONFLICT (host, name) DO UPDATE SET errors = storages.errors + 1, last_error = excluded.last_error,
        last_error_at = excluded.last_error_at;`,
  ).replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION")}`;

/** As in SQLite's catalog. Whose the known kit and export are shows when a host compares them with its own config. */
export const KITS_OF_HOSTS = `
  ALTER TABLE recovery_kits ADD COLUMN host TEXT NOT NULL DEFAULT '';
  ALTER TABLE host_export ADD COLUMN host TEXT NOT NULL DEFAULT '';
  ALTER TABLE host_export DROP COLUMN single;
  ALTER TABLE host_export ADD PRIMARY KEY (host);
  `;
