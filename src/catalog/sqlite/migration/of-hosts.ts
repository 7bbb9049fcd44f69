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
