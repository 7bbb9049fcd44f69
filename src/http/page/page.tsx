import { raw } from "hono/html";
import type { Child } from "hono/jsx";
import { durationText } from "../../base/text/amounts.ts";
import { shortId } from "../../jobs/copies/object-key.ts";
import type { DaemonStatus, StatusReport } from "../../status/report.ts";
import { type Verdict, type VerdictLevel, verdictOf } from "../../status/verdict.ts";
import { BackupPart } from "./backup.tsx";
import { Backups } from "./backups.tsx";
import { Databases, databaseLists } from "./databases.tsx";
import { Moment, type Page, Shape, State } from "./elements.tsx";
import { Globals } from "./globals.tsx";
import type { PageBackup, PageHistory, PageSeries, PageYear } from "./history.ts";
import { MissingMarks } from "./marks.tsx";
import { Notifiers } from "./notifiers.tsx";
import { databaseGroups, selected } from "./order.ts";
import { type PageQuery, pageAddress, REFRESH_S } from "./query.ts";
import { RestoreTests } from "./restore-tests.tsx";
import { rendered, type Steps } from "./steps.ts";
import { Storages } from "./storages.tsx";
import { PAGE_STYLE } from "./style.ts";
import { pageTimes, readable, shortened } from "./words.ts";
import { Alerts, Running, Work } from "./work.tsx";

export {
  type PageHistory,
  type PageSeries,
  pageBackup,
  pageHistory,
  pageSeries,
  pageYear,
} from "./history.ts";
export { type PageQuery, pageQuery } from "./query.ts";
export { inTurns } from "./steps.ts";
export { PAGE_STYLE_HASH } from "./style.ts";

export interface PageInput {
  report: StatusReport;
  history: PageHistory;
  series: PageSeries;
  /** Of the database that the page is about. */
  year?: PageYear | null;
  query: PageQuery;
}

/** The verdict in the title of the browser's tab. */
const TITLES: Readonly<Record<VerdictLevel, string>> = {
  good: "all good",
  new: "no backup yet",
  warning: "warning",
  bad: "problem",
};

/**
 * Makes the page as HTML, in steps between which other requests get their turn. It is complete: it loads no other
 * resource and needs no script. `PAGE_STYLE_HASH` is the hash of its only style sheet.
 */
export function* pageSteps({ report, history, series, year = null, query }: PageInput): Steps<string> {
  const page: Page = { times: pageTimes(report.now, report.timezone), query };
  const verdict = verdictOf(report);
  const lists = yield* databaseLists(databaseGroups(report, query), series, page);
  const parts = yield* rendered(
    [
      <VerdictPart verdict={verdict} report={report} page={page} />,
      <Alerts alerts={report.alerts} page={page} />,
      <Running running={report.running} page={page} />,
      <Databases lists={lists} year={year} page={page} />,
      <MissingMarks databases={selected(report, query)} page={page} />,
      <RestoreTests databases={report.databases} page={page} />,
      <Globals globals={report.globals ?? []} page={page} />,
      <Storages storages={report.storages} page={page} />,
      <Notifiers notifiers={report.notifiers} page={page} />,
      <Work report={report} page={page} />,
      <Backups history={history} page={page} />,
    ],
    1,
  );
  return documentOf(report, page, TITLES[verdict.level], parts);
}

/** The page of one backup, as HTML; undefined: there is none. */
export function renderBackup(report: StatusReport, found: PageBackup | undefined, query: PageQuery): string {
  const page: Page = { times: pageTimes(report.now, report.timezone), query };
  const title = found === undefined ? "no such backup" : `backup ${shortId(found.listed.backup.id)}`;
  return documentOf(report, page, title, <BackupPart found={found} page={page} />);
}

function documentOf(report: StatusReport, page: Page, title: string, parts: Child): string {
  const { query } = page;
  const html = (
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta name="color-scheme" content="light dark" />
        <meta name="robots" content="noindex" />
        {query.refresh_s !== null && <meta http-equiv="refresh" content={String(query.refresh_s)} />}
        <title>{`${title}: pg321 on ${report.host}`}</title>
        <style>{raw(PAGE_STYLE)}</style>
      </head>
      <body>
        <Top report={report} page={page} />
        <main>{parts}</main>
        <Bottom report={report} page={page} />
      </body>
    </html>
  );
  return `<!doctype html>\n${readable(String(html))}\n`;
}

const Top = ({ report, page: { query, times } }: { report: StatusReport; page: Page }) => (
  <header>
    <p class="brand">
      <b>pg321</b> on <bdi>{report.host}</bdi>
    </p>
    <p class="muted">
      as of <time datetime={report.now}>{times.absolute(report.now)}</time>
    </p>
    <nav aria-label="This page">
      <a href={pageAddress(query)}>Reload</a>
      {query.refresh_s === null ? (
        <a href={pageAddress({ ...query, refresh_s: REFRESH_S })}>Reload every minute</a>
      ) : (
        <a href={pageAddress({ ...query, refresh_s: null })}>Stop reloading every {query.refresh_s} s</a>
      )}
    </nav>
  </header>
);

const VerdictPart = ({ verdict, report, page }: { verdict: Verdict; report: StatusReport; page: Page }) => {
  const { level, sentence, problems } = verdict;
  return (
    <section class={`verdict ${level}`} aria-labelledby="verdict">
      <Shape tone={level} />
      <div>
        <h1 id="verdict">{sentence}</h1>
        {problems.length > 1 && (
          <ul class="problems">
            {problems.map((problem) => (
              <li>
                <State tone={problem.level}>{problem.text}</State>
              </li>
            ))}
          </ul>
        )}
        {level === "new" && <FirstSteps report={report} page={page} />}
      </div>
    </section>
  );
};

/** The next steps of an installation without a backup. */
const FirstSteps = ({ report, page }: { report: StatusReport; page: Page }) => {
  const nextAt = report.jobs.find(({ job }) => job === "backup")?.next_run_at ?? null;
  return (
    <p>
      {nextAt === null ? (
        "No backup is scheduled. "
      ) : (
        <>
          The next scheduled backup starts <Moment at={nextAt} page={page} />.{" "}
        </>
      )}
      <code>pg321 backup</code> makes one now; <code>pg321 doctor</code> first checks everything that it
      needs.
    </p>
  );
};

const Bottom = ({ report, page }: { report: StatusReport; page: Page }) => (
  <footer>
    {report.daemon !== null && <Daemon daemon={report.daemon} page={page} />}
    {report.recovery_kit !== null && (
      <p>
        recovery kit made <Moment at={report.recovery_kit.made_at} page={page} />
        {!report.recovery_kit.is_current && ", before a change of storages or keys"}
      </p>
    )}
    <p>
      pg321 {report.version} ({report.commit}) · installation {report.installation} · times in{" "}
      {report.timezone}
    </p>
    <nav aria-label="The same data for programs">
      <a href="./status?format=json">status as JSON</a>
      <a href="./status?format=text">status as text</a>
      <a href="./metrics">metrics</a>
      <a href="./health">health</a>
    </nav>
  </footer>
);

const Daemon = ({ daemon, page }: { daemon: DaemonStatus; page: Page }) => {
  const { last_reload } = daemon;
  return (
    <>
      <p>
        {daemon.is_stopping ? "The daemon is stopping" : "The daemon is up"}, pid {daemon.pid}, for{" "}
        {durationText(daemon.uptime_ms)} · config <code>{daemon.config_file}</code>{" "}
        <code>{daemon.config_checksum.slice(0, 12)}</code>
        {last_reload !== null && (
          <>
            {" "}
            · {last_reload.is_ok ? "reloaded" : "reload refused"} <Moment at={last_reload.at} page={page} />
          </>
        )}
      </p>
      {last_reload?.is_ok === false && (
        <ul>
          {last_reload.errors.slice(0, 20).map((error) => (
            <li>{shortened(error)}</li>
          ))}
        </ul>
      )}
    </>
  );
};
