import type { Child } from "hono/jsx";
import type { Steps } from "../../base/steps.ts";
import { plural } from "../../base/text/amounts.ts";
import { outcomeWord } from "../../base/text/states.ts";
import { type NextRun, nextRun } from "../../status/fleet/next-run.ts";
import type { FleetDatabase, FleetHost, FleetHostState, FleetReport } from "../../status/fleet/report.ts";
import { fleetVerdict, presentDatabases } from "../../status/fleet/verdict.ts";
import { documentOf, VerdictHead } from "./document.tsx";
import { DatabaseName, Fact, Moment, MomentOr, type Page, State, type Tone } from "./elements.tsx";
import { titleOf } from "./page.tsx";
import type { PageQuery } from "./query.ts";
import { rendered } from "./rendered.ts";
import { pageTimes, shortened } from "./words.ts";
import { Alerts, OUTCOME_TONES } from "./work.tsx";

/** Limits on one page: other requests wait while it is rendered. */
const HOSTS_MAX = 300;
const DATABASES_MAX = 500;
const ROWS_AT_ONCE = 20;
const HOST_TONES: Readonly<Record<FleetHostState, Tone>> = {
  ...{ silent: "bad", stopped: "warning", up: "good", never: "quiet" },
};
const DATABASE_TONES: Readonly<Record<FleetDatabase["state"], Tone>> = {
  ...{ stale: "bad", failing: "bad", never: "warning", partial: "warning", good: "good", gone: "quiet" },
};
const HOST_RANK = Object.keys(HOST_TONES);
const DATABASE_RANK = Object.keys(DATABASE_TONES);

/** Makes the page of all hosts, as HTML, in steps; as complete as that of one host. */
export function* fleetPageSteps(report: FleetReport, asked: PageQuery): Steps<string> {
  const query = { ...asked, fleet: true, page: 1, database: null, backup: null };
  const page: Page = { times: pageTimes(report.now, report.timezone), query };
  const verdict = fleetVerdict(report);
  const hosts = byRank(report.hosts, HOST_RANK).slice(0, HOSTS_MAX);
  const databases = byRank(report.databases, DATABASE_RANK).slice(0, DATABASES_MAX);
  const hostRows = yield* rendered(
    hosts.map((host) => <HostRow host={host} next={nextRun(host, report.now)} page={page} />),
    ROWS_AT_ONCE,
  );
  const databaseRows = yield* rendered(
    databases.map((database) => <DatabaseRow database={database} page={page} />),
    ROWS_AT_ONCE,
  );
  return documentOf(
    { report, page, title: titleOf(verdict, report.databases), isShared: report.catalog.is_shared },
    <>
      <VerdictHead verdict={verdict} />
      <Alerts alerts={report.alerts} page={{ ...page, query: { ...query, fleet: false } }} />
      <section aria-labelledby="hosts">
        <h2 id="hosts">Hosts</h2>
        <ul class="rows">{hostRows}</ul>
        <Rest count={report.hosts.length - hosts.length} noun="more host" />
      </section>
      <section aria-labelledby="databases">
        <h2 id="databases">Databases</h2>
        <DatabaseTable rows={databaseRows} />
        <Rest count={report.databases.length - databases.length} noun="more database" />
      </section>
    </>,
  );
}

/** Those that need somebody first. */
function byRank<T extends { state: string }>(all: readonly T[], rank: readonly string[]): T[] {
  return all.toSorted((a, b) => rank.indexOf(a.state) - rank.indexOf(b.state));
}

const HostRow = ({ host, next, page }: { host: FleetHost; next: NextRun; page: Page }) => {
  const { state, as_of, heartbeat_at, version, problems, servers, oldest_success_at } = host;
  const tone = state === "up" && problems.length > 0 ? "bad" : HOST_TONES[state];
  return (
    <li class={`edge ${tone}`}>
      <p class="top">
        <b>
          <bdi>{host.host}</bdi>
        </b>
        <State tone={tone}>{state === "never" ? "no daemon" : state}</State>
        <span class="muted">
          {as_of !== null && (
            <>
              as of <Moment at={as_of} page={page} /> ·{" "}
            </>
          )}
          {heartbeat_at !== null && (
            <>
              last seen <Moment at={heartbeat_at} page={page} /> ·{" "}
            </>
          )}
          {version !== null && `pg321 ${version} · `}
          {servers.length === 0 ? "no server" : servers.map(({ name }) => name).join(", ")}
        </span>
      </p>
      {problems.map((problem) => (
        <p class="error">{shortened(problem)}</p>
      ))}
      <dl class="facts">
        <Fact name="Databases">{statesText(host)}</Fact>
        <Fact name="Oldest good backup">
          <MomentOr at={oldest_success_at} page={page} none={none(host)} />
        </Fact>
        <Fact name="Marks">{marksText(host)}</Fact>
        <Fact name="Last runs">
          <LastRuns host={host} />
        </Fact>
        <Fact name="Next run">{next === "due" ? next : <MomentOr at={next} page={page} none="none" />}</Fact>
      </dl>
    </li>
  );
};

const LastRuns = ({ host }: { host: FleetHost }) =>
  host.last_runs.length === 0 ? (
    <span class="muted">{none(host)}</span>
  ) : (
    <ul class="inline">
      {host.last_runs.map((run) => (
        <li>
          <State tone={OUTCOME_TONES[run.outcome]}>
            {run.job} {outcomeWord(run)}
          </State>
        </li>
      ))}
    </ul>
  );

const DatabaseTable = ({ rows }: { rows: readonly Child[] }) =>
  rows.length === 0 ? (
    <p class="muted">No database has been found yet.</p>
  ) : (
    <table aria-labelledby="databases">
      <thead>
        <tr>
          {["Database", "Host", "State", "Newest good backup"].map((title) => (
            <th scope="col">{title}</th>
          ))}
        </tr>
      </thead>
      <tbody>{rows}</tbody>
    </table>
  );

const DatabaseRow = ({ database, page }: { database: FleetDatabase; page: Page }) => (
  <tr>
    <th scope="row">
      <DatabaseName database={database} />
    </th>
    <td data-label="Host">
      <bdi>{database.host ?? "none"}</bdi>
    </td>
    <td class="state-cell">
      <State tone={DATABASE_TONES[database.state]}>{database.state}</State>
    </td>
    <td data-label="Newest good backup">
      <MomentOr at={database.newest_good?.started_at ?? null} page={page} none="none" />
    </td>
  </tr>
);

const Rest = ({ count, noun }: { count: number; noun: string }) =>
  count <= 0 ? null : (
    <p class="muted">
      {plural(count, noun)} not shown here: <code>pg321 status --fleet --json</code> shows all of them.
    </p>
  );

function statesText(host: FleetHost): string {
  const counts = DATABASE_RANK.flatMap((state) => {
    const count = host.databases[state as FleetDatabase["state"]];
    return count === 0 ? [] : [`${count} ${state}`];
  });
  return presentDatabases(host) + host.databases.gone === 0 ? none(host) : counts.join(", ");
}

/** While the catalog is unreachable, a host remembers only its own databases. */
const none = ({ as_of }: FleetHost) => (as_of === null ? "none" : "not known");

function marksText(host: FleetHost): string {
  const { held, lost, not_set_up } = host.marks;
  const parts = [
    ...(lost > 0 ? [`${lost} lost`] : []),
    ...(held > 0 ? [`${held} held`] : []),
    ...(not_set_up > 0 ? [`${not_set_up} not set up`] : []),
  ];
  return parts.length === 0 ? none(host) : parts.join(", ");
}
