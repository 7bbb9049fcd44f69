/** Each host is judged by its own clock, so each has its own trust in it. Without a name: the only host of a file. */
export const CLOCKS_OF_HOSTS = `
  ALTER TABLE clock_trust RENAME TO former_clock_trust;
  CREATE TABLE clock_trust (
    host TEXT PRIMARY KEY,
    trusted_at TEXT NOT NULL,
    accepted_until TEXT
  ) STRICT, WITHOUT ROWID;
  INSERT INTO clock_trust SELECT '', trusted_at, accepted_until FROM former_clock_trust;
  DROP TABLE former_clock_trust;
  `;

/** Only one row of a storage without a host counts the failures of its copies: whether `isFailure` says. */
export function storagesOfHosts(isFailure: string): string {
  const count = `INSERT INTO storages (host, name, errors, last_error, last_error_at)
      VALUES ('', NEW.storage, 1, NEW.error, strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
      ON CONFLICT (host, name) DO UPDATE SET errors = errors + 1, last_error = excluded.last_error,
        last_error_at = excluded.last_error_at`;
  return `
  DROP TRIGGER copies_failed_insert;
  DROP TRIGGER copies_failed_update;
  ALTER TABLE storages RENAME TO former_storages;
  CREATE TABLE storages (
    host TEXT NOT NULL,
    name TEXT NOT NULL,
    checked_at TEXT,
    check_error TEXT,
    free_bytes INTEGER,
    total_bytes INTEGER,
    errors INTEGER NOT NULL,
    last_error TEXT,
    last_error_at TEXT,
    PRIMARY KEY (host, name)
  ) STRICT;
  INSERT INTO storages
    SELECT '', name, checked_at, check_error, free_bytes, total_bytes, errors, last_error, last_error_at
    FROM former_storages;
  DROP TABLE former_storages;
  CREATE TRIGGER copies_failed_insert AFTER INSERT ON copies WHEN ${isFailure} BEGIN ${count}; END;
  CREATE TRIGGER copies_failed_update AFTER UPDATE OF error ON copies
    WHEN ${isFailure} AND NEW.error IS NOT OLD.error BEGIN ${count}; END;
  `;
}

/** Storages, keys and files differ from host to host, so each has its own recovery kit and its own export. */
export const KITS_OF_HOSTS = `
  ALTER TABLE recovery_kits ADD COLUMN host TEXT NOT NULL DEFAULT '';
  ALTER TABLE host_export RENAME TO former_host_export;
  CREATE TABLE host_export (
    host TEXT PRIMARY KEY,
    exported_at TEXT NOT NULL,
    fingerprint TEXT NOT NULL
  ) STRICT, WITHOUT ROWID;
  INSERT INTO host_export SELECT '', exported_at, fingerprint FROM former_host_export;
  DROP TABLE former_host_export;
  `;
