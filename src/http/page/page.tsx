import type { Steps } from "../../base/steps.ts";
import { shortId } from "../../jobs/copies/object-key.ts";
import type { StatusReport } from "../../status/report.ts";
import { type Verdict, type VerdictLevel, verdictOf } from "../../status/verdict.ts";
import { BackupPart } from "./backup.tsx";
import { Backups } from "./backups.tsx";
import { Databases, databaseLists } from "./databases.tsx";
import { documentOf, VerdictHead } from "./document.tsx";
import { Moment, type Page } from "./elements.tsx";
import { Globals } from "./globals.tsx";
import type { PageBackup, PageHistory, PageSeries, PageYear } from "./history.ts";
import { MissingMarks } from "./marks.tsx";
import { Notifiers } from "./notifiers.tsx";
import { databaseGroups, selected } from "./order.ts";
import type { PageQuery } from "./query.ts";
import { rendered } from "./rendered.ts";
import { RestoreTests } from "./restore-tests.tsx";
import { Storages } from "./storages.tsx";
import { pageTimes } from "./words.ts";
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
export { PAGE_STYLE_HASH } from "./style.ts";

export interface PageInput {
  report: StatusReport;
  history: PageHistory;
  series: PageSeries;
  /** Of the database that the page is about. */
  year?: PageYear | null;
  query: PageQuery;
  /** Whether other hosts may use the catalog; false by default. */
  isShared?: boolean;
}

/** The verdict in the title of the browser's tab. */
const TITLES: Readonly<Record<VerdictLevel, string>> = {
  good: "all good",
  new: "no backup yet",
  warning: "warning",
  bad: "problem",
};

/** The title of a page: not "all good" while databases wait for their first backup. */
export function titleOf({ level }: Verdict, databases: readonly { state: string }[]): string {
  const waiting = databases.filter(({ state }) => state === "never").length;
  return level === "good" && waiting > 0 ? `good, ${waiting} without a backup yet` : TITLES[level];
}

/**
 * Makes the page as HTML, in steps between which other requests get their turn. It is complete: it loads no other
 * resource and needs no script. `PAGE_STYLE_HASH` is the hash of its only style sheet.
 */
export function* pageSteps(input: PageInput): Steps<string> {
  const { report, history, series, year = null, query, isShared = false } = input;
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
  return documentOf({ report, page, title: titleOf(verdict, report.databases), isShared }, parts);
}

/** The page of one backup, as HTML; undefined: there is none. */
export function renderBackup(
  report: StatusReport,
  found: PageBackup | undefined,
  query: PageQuery,
  isShared = false,
): string {
  const page: Page = { times: pageTimes(report.now, report.timezone), query };
  const title = found === undefined ? "no such backup" : `backup ${shortId(found.listed.backup.id)}`;
  return documentOf({ report, page, title, isShared }, <BackupPart found={found} page={page} />);
}

const VerdictPart = ({ verdict, report, page }: { verdict: Verdict; report: StatusReport; page: Page }) => (
  <VerdictHead verdict={verdict}>
    {verdict.level === "new" && <FirstSteps report={report} page={page} />}
  </VerdictHead>
);

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
