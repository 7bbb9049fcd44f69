import { BEFORE_HOSTS } from "../../sqlite/migration/host-totals.ts";
import { triggerFunction } from "./trigger-function.ts";

/** As in SQLite's catalog. Besides, fifty daemons do not wait for each other's locks on one row. */
export const HOST_TOTALS: string = `
  ALTER TABLE run_totals ADD COLUMN host TEXT NOT NULL DEFAULT '';
  UPDATE run_totals SET host = ${BEFORE_HOSTS};
  ALTER TABLE run_totals ALTER COLUMN host DROP DEFAULT;
  ALTER TABLE run_totals DROP CONSTRAINT run_totals_pkey;
  ALTER TABLE run_totals ADD PRIMARY KEY (host, job, outcome);
  ${triggerFunction(
    "count_run",
    `INSERT INTO run_totals AS total (host, job, outcome, runs) VALUES (NEW.host, NEW.job, NEW.outcome, 1)
      ON CONFLICT (host, job, outcome) DO UPDATE SET runs = total.runs + 1;`,
  ).replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION")}`;
