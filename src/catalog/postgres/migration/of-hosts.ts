/** As in SQLite's catalog. What was recorded for all hosts holds for each of them until it has a record of its own. */
export const CLOCKS_OF_HOSTS = `
  ALTER TABLE clock_trust ADD COLUMN host TEXT NOT NULL DEFAULT '';
  ALTER TABLE clock_trust ALTER COLUMN host DROP DEFAULT;
  ALTER TABLE clock_trust DROP COLUMN single;
  INSERT INTO clock_trust (host, trusted_at, accepted_until)
    SELECT hosts.host, trusted_at, accepted_until FROM hosts CROSS JOIN clock_trust;
  DELETE FROM clock_trust WHERE host = '' AND EXISTS (SELECT 1 FROM hosts);
  ALTER TABLE clock_trust ADD PRIMARY KEY (host);
  `;
