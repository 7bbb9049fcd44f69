import type { Child } from "hono/jsx";
import { countText, durationText, plural, sizeText } from "../../base/text/amounts.ts";
import { outcomeWord } from "../../base/text/states.ts";
import type { RunOutcome } from "../../catalog/records.ts";
import type { RunJob } from "../../config/config.ts";
import { SCHEDULED_JOBS } from "../../jobs/schedules.ts";
import type {
  AlertStatus,
  JobStatus,
  ProgressStatus,
  RunningStatus,
  RunStatus,
  ScheduleStatus,
  StatusReport,
} from "../../status/report.ts";
import { Bar, DatabaseLink, Moment, MomentOr, type Page, State, type Tone } from "./elements.tsx";
import { shortened } from "./words.ts";

const ALERT_TONES: Readonly<Record<AlertStatus["level"], Tone>> = {
  CRITICAL: "bad",
  WARNING: "warning",
  INFO: "quiet",
};
export const OUTCOME_TONES: Readonly<Record<RunOutcome, Tone>> = {
  OK: "good",
  PARTIAL: "warning",
  FAILED: "bad",
  INTERRUPTED: "bad",
  SKIPPED: "quiet",
  IDLE: "quiet",
  RUNNING: "new",
};
/** At most this many alerts are shown; the others are counted. */
const ALERTS_MAX = 30;

export const Alerts = ({ alerts, page }: { alerts: readonly AlertStatus[]; page: Page }) =>
  alerts.length === 0 ? null : (
    <section aria-labelledby="alerts">
      <h2 id="alerts">Open alerts</h2>
      <ul class="rows">
        {alerts.slice(0, ALERTS_MAX).map((alert) => (
          <li class={`edge ${ALERT_TONES[alert.level]}`}>
            <p class="top">
              <State tone={ALERT_TONES[alert.level]}>{alert.level.toLowerCase()}</State>
              <span class="muted">
                since <Moment at={alert.created_at} page={page} />
                {alert.count > 1 && ` · ${alert.count} times`}
                {alert.acknowledged_at !== null && " · acknowledged"}
                {alert.server !== null && alert.database !== null && (
                  <>
                    {" · "}
                    <DatabaseLink database={{ server: alert.server, database: alert.database }} page={page} />
                  </>
                )}
              </span>
            </p>
            <p>{shortened(alert.message)}</p>
          </li>
        ))}
      </ul>
      {alerts.length > ALERTS_MAX && (
        <p class="muted">
          {plural(alerts.length - ALERTS_MAX, "older alert")} not shown here: <code>pg321 alerts</code> shows
          all of them.
        </p>
      )}
    </section>
  );

export const Running = ({ running, page }: { running: readonly RunningStatus[]; page: Page }) =>
  running.length === 0 ? null : (
    <section aria-labelledby="running">
      <h2 id="running">Running now</h2>
      <ul class="rows">
        {running.map((run) => (
          <li class="edge new">
            <p class="top">
              <State tone="new">
                {run.schedule ?? `${run.job} by hand`}: {run.state}
              </State>
              <span class="muted">
                since <Moment at={run.started_at} page={page} /> · pid {run.pid} on {run.host}
              </span>
            </p>
            {run.progress.map((progress) => (
              <Progress progress={progress} />
            ))}
          </li>
        ))}
      </ul>
    </section>
  );

const Progress = ({ progress: { title, bytes, expected_bytes, storages } }: { progress: ProgressStatus }) => {
  const ratio = expected_bytes === null || expected_bytes <= 0 ? null : bytes / expected_bytes;
  return (
    <div class="space">
      <p>
        <bdi>{title}</bdi>: {sizeText(bytes)}
        {ratio !== null &&
          ` of about ${sizeText(expected_bytes)}, ${Math.min(99, Math.floor(100 * ratio))} %`}
      </p>
      {ratio !== null && <Bar ratio={ratio} tone="new" />}
      {storages.length > 0 && (
        <p class="muted small">
          {storages.map(({ storage, bytes, state }) => `${storage} ${state}, ${sizeText(bytes)}`).join(" · ")}
        </p>
      )}
    </div>
  );
};

type WorkInput = { report: Pick<StatusReport, "jobs" | "schedules">; page: Page };

export const Work = ({ report: { jobs, schedules }, page }: WorkInput) => (
  <section aria-labelledby="work">
    <h2 id="work">Schedules</h2>
    {jobs.length + schedules.length === 0 ? (
      <p class="muted">No job is scheduled, and none has run yet.</p>
    ) : (
      <table aria-labelledby="work">
        <thead>
          <tr>
            <th scope="col">Job</th>
            <th scope="col">When</th>
            <th scope="col">Last run</th>
            <th scope="col">Next run</th>
          </tr>
        </thead>
        <tbody>
          {workRows(jobs, schedules).map((row) => (
            <WorkRow row={row} page={page} />
          ))}
        </tbody>
      </table>
    )}
  </section>
);

const Pattern = ({ schedule: { pattern, skipped } }: { schedule: ScheduleStatus }) => (
  <>
    <code>{pattern}</code>
    {skipped > 0 && (
      <>
        {" "}
        <State tone="warning">{plural(skipped, "run")} skipped in a row</State>
      </>
    )}
  </>
);

/** A schedule, or a job without one. */
interface WorkLine {
  job: RunJob;
  name: string;
  when: Child;
  run: RunStatus | null;
  nextAt: string | null;
}

/** One row for each schedule, grouped by job, and after them the last run by hand of that job. */
function workRows(jobs: readonly JobStatus[], schedules: readonly ScheduleStatus[]): WorkLine[] {
  const scheduled = schedules.map((schedule) => ({
    job: schedule.job,
    name: schedule.name,
    when: <Pattern schedule={schedule} />,
    run: schedule.last_run,
    nextAt: schedule.next_run_at,
  }));
  const others = jobs
    .filter((job) => isByHand(job, schedules) || isOff(job, schedules))
    .map((job) => ({
      job: job.job,
      name: job.job,
      when: <span class="muted">{isOff(job, schedules) ? "not scheduled" : originOf(job)}</span>,
      run: job.last_run,
      nextAt: null,
    }));
  const rank = ({ job }: WorkLine) => jobs.findIndex((one) => one.job === job);
  return [...scheduled, ...others].toSorted((left, right) => rank(left) - rank(right));
}

const WorkRow = ({ row: { name, when, run, nextAt }, page }: { row: WorkLine; page: Page }) => (
  <tr>
    <th scope="row" class="job">
      {name}
    </th>
    <td data-label="When" class="when">
      {when}
    </td>
    <td data-label="Last run">
      {run === null ? <span class="muted">none yet</span> : <Run run={run} page={page} />}
    </td>
    <td data-label="Next run">
      <MomentOr at={nextAt} page={page} none="none" />
    </td>
  </tr>
);

const Run = ({ run, page }: { run: RunStatus; page: Page }) => (
  <>
    <State tone={outcomeWord(run) === run.outcome ? OUTCOME_TONES[run.outcome] : "warning"}>
      {outcomeWord(run).toLowerCase()}
    </State>{" "}
    <Moment at={run.started_at} page={page} />
    <span class="muted small block">
      {[...(run.duration_ms === null ? [] : [`took ${durationText(run.duration_ms)}`]), ...counts(run)].join(
        " · ",
      )}
    </span>
    {run.error !== null && outcomeWord(run) === run.outcome && (
      <span class="error block">{shortened(run.error)}</span>
    )}
  </>
);

/** The first few whole numbers in a run's statistics that are not zero. */
function counts({ statistics }: RunStatus): string[] {
  return Object.entries(statistics ?? {})
    .filter(([name, value]) => Number.isInteger(value) && value !== 0 && !/_(ms|bytes)$|^bytes_/.test(name))
    .slice(0, 4)
    .map(([name, value]) => countText(Number(value), name));
}

/** Who started the last run of a job that is not the last one of any schedule. */
function originOf({ last_run }: JobStatus): string {
  return last_run?.schedule ? "by a schedule that no longer exists" : "by hand";
}

/** Whether a person started the last run of a job, or its schedule no longer exists. */
function isByHand({ job, last_run }: JobStatus, schedules: readonly ScheduleStatus[]): boolean {
  const own = schedules.filter((schedule) => schedule.job === job);
  return last_run !== null && !own.some((one) => one.last_run?.id === last_run.id);
}

/** Whether a job could have a schedule but has none, and never ran. */
function isOff({ job, last_run }: JobStatus, schedules: readonly ScheduleStatus[]): boolean {
  const isScheduled = schedules.some((schedule) => schedule.job === job);
  return last_run === null && !isScheduled && SCHEDULED_JOBS.some((one) => one === job);
}
