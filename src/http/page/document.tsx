import { raw } from "hono/html";
import type { Child } from "hono/jsx";
import { durationText } from "../../base/text/amounts.ts";
import type { DaemonStatus, StatusReport } from "../../status/report.ts";
import type { Verdict } from "../../status/verdict.ts";
import { Moment, type Page, Shape, State } from "./elements.tsx";
import { pageAddress, REFRESH_S } from "./query.ts";
import { PAGE_STYLE } from "./style.ts";
import { readable, shortened } from "./words.ts";

/** The part of a report that the top and the bottom of every page show. */
export type PageSubject = Pick<
  StatusReport,
  "version" | "commit" | "host" | "installation" | "now" | "timezone"
> &
  Partial<Pick<StatusReport, "daemon" | "recovery_kit">>;

interface DocumentInput {
  report: PageSubject;
  page: Page;
  /** Of the browser's tab. */
  title: string;
  /** Whether other hosts may use the catalog. */
  isShared: boolean;
}

/** A complete HTML document. */
export function documentOf({ report, page, title, isShared }: DocumentInput, parts: Child): string {
  const { query } = page;
  const html = (
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta name="color-scheme" content="light dark" />
        <meta name="robots" content="noindex" />
        {query.refresh_s !== null && <meta http-equiv="refresh" content={String(query.refresh_s)} />}
        <title>{`${title}: pg321 on ${query.fleet ? "all hosts" : report.host}`}</title>
        <style>{raw(PAGE_STYLE)}</style>
      </head>
      <body>
        <Top report={report} page={page} isShared={isShared} />
        <main>{parts}</main>
        <Bottom report={report} page={page} />
      </body>
    </html>
  );
  return `<!doctype html>\n${readable(String(html))}\n`;
}

const Top = ({ report, page: { query, times }, isShared }: Omit<DocumentInput, "title">) => (
  <header>
    <p class="brand">
      <b>pg321</b> {query.fleet ? "on all hosts, as seen by" : "on"} <bdi>{report.host}</bdi>
    </p>
    <p class="muted">
      as of <time datetime={report.now}>{times.absolute(report.now)}</time>
    </p>
    <nav aria-label="This page">
      {query.fleet ? <a href="./">This host</a> : isShared && <a href="./?fleet=1">All hosts</a>}
      <a href={pageAddress(query)}>Reload</a>
      {query.refresh_s === null ? (
        <a href={pageAddress({ ...query, refresh_s: REFRESH_S })}>Reload every minute</a>
      ) : (
        <a href={pageAddress({ ...query, refresh_s: null })}>Stop reloading every {query.refresh_s} s</a>
      )}
    </nav>
  </header>
);

/** The verdict in one sentence, all problems, and what else belongs there. */
export const VerdictHead = ({ verdict, children }: { verdict: Verdict; children?: Child }) => {
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
        {children}
      </div>
    </section>
  );
};

const Bottom = ({ report, page }: { report: PageSubject; page: Page }) => {
  const about = page.query.fleet ? "fleet=1&" : "";
  return (
    <footer>
      {report.daemon && <Daemon daemon={report.daemon} page={page} />}
      {report.recovery_kit && (
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
        <a href={`./status?${about}format=json`}>status as JSON</a>
        <a href={`./status?${about}format=text`}>status as text</a>
        <a href={page.query.fleet ? "./metrics?fleet=1" : "./metrics"}>metrics</a>
        <a href="./health">health</a>
      </nav>
    </footer>
  );
};

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
