import { LATEST_COLUMNS, latestOf } from "./latest-backups.ts";
import { FACTS } from "./retained-backups.ts";

const VALUES = FACTS.split(", ")
  .map((column) => `${column} = NEW.${column}`)
  .join(", ");

/** Whatever else changes with it, and whichever trigger is first. */
export const moveRetained = `UPDATE retained_backups SET ${VALUES}
      WHERE server = OLD.server AND database = OLD.database AND started_at = OLD.started_at AND id = OLD.id;`;

export const findLatest = (leftOut: (facts: string) => string): string => `
    DELETE FROM latest_backups WHERE server = NEW.server AND database = NEW.database;
    INSERT INTO latest_backups (${LATEST_COLUMNS}) ${latestOf("(SELECT NEW.server AS server, NEW.database AS database)", leftOut)};`;

/** When a backup began is corrected only by hand, and then the tables made of the records follow. */
export const TIME_CHANGED = "AFTER UPDATE OF started_at ON backups";
export const IS_OTHER_TIME = "NEW.started_at <> OLD.started_at";

export const CHANGED_TIMES = `
  CREATE TRIGGER backups_time ${TIME_CHANGED} WHEN ${IS_OTHER_TIME} BEGIN
    ${moveRetained}
    ${findLatest((facts) => `json_extract(${facts}, '$.left_out')`)} END;
`;
