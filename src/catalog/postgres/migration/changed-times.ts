import {
  findLatest,
  IS_OTHER_TIME,
  moveRetained,
  TIME_CHANGED,
} from "../../sqlite/migration/changed-times.ts";
import { leftOut } from "./latest-backups.ts";
import { triggerFunction } from "./trigger-function.ts";

/** As in SQLite. */
export const CHANGED_TIMES = `${triggerFunction(
  "change_time",
  `${moveRetained}
    ${findLatest(leftOut)}`,
)}
  CREATE TRIGGER backups_time ${TIME_CHANGED} FOR EACH ROW WHEN (${IS_OTHER_TIME})
    EXECUTE FUNCTION change_time();
`;
