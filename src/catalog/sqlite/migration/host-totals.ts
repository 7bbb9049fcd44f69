/** The totals of runs before hosts were recorded with them belong to the host of the newest run: there was only one. */
export const BEFORE_HOSTS = "coalesce((SELECT host FROM runs ORDER BY started_at DESC, id DESC LIMIT 1), '')";

const COUNT_RUN = `INSERT INTO run_totals VALUES (NEW.host, NEW.job, NEW.outcome, 1)
      ON CONFLICT DO UPDATE SET runs = runs + 1`;

/** Runs are counted by host, because each daemon reports its own. */
export const HOST_TOTALS: string = `
  DROP TRIGGER runs_counted_insert;
  DROP TRIGGER runs_counted_update;
  ALTER TABLE run_totals RENAME TO former_run_totals;
  CREATE TABLE run_totals (
    host TEXT NOT NULL,
    job TEXT NOT NULL,
    outcome TEXT NOT NULL,
    runs INTEGER NOT NULL,
    PRIMARY KEY (host, job, outcome)
  ) STRICT;
  INSERT INTO run_totals SELECT ${BEFORE_HOSTS}, job, outcome, runs FROM former_run_totals;
  DROP TABLE former_run_totals;
  CREATE TRIGGER runs_counted_insert AFTER INSERT ON runs WHEN NEW.outcome <> 'RUNNING' BEGIN
    ${COUNT_RUN};
  END;
  CREATE TRIGGER runs_counted_update AFTER UPDATE OF outcome ON runs
    WHEN OLD.outcome = 'RUNNING' AND NEW.outcome <> 'RUNNING' BEGIN
    ${COUNT_RUN};
  END;
  `;
