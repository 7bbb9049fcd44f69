import { raw } from "hono/html";
import type { Child } from "hono/jsx";
import type { HtmlEscapedString } from "hono/utils/html";
import { backupWord, isEndedByHand } from "../../base/text/states.ts";
import { isGlobalsPlace } from "../../catalog/globals.ts";
import type { BackupStatus } from "../../catalog/records.ts";
import type { DatabaseStatus } from "../../status/report.ts";
import { type PageQuery, pageAddress } from "./query.ts";
import type { PageTimes } from "./words.ts";

/** How good or bad a state is. Each tone has its own colour and shape, and always a word beside it. */
export type Tone = "good" | "warning" | "bad" | "new" | "quiet";

/** The input of every part of the page. */
export interface Page {
  times: PageTimes;
  query: PageQuery;
}

const BACKUP_TONES: Readonly<Record<BackupStatus, Tone>> = {
  VERIFIED: "good",
  PARTIAL: "warning",
  FAILED: "bad",
  INTERRUPTED: "bad",
  RUNNING: "new",
};

const SHAPES: Readonly<Record<Tone, Child>> = {
  good: (
    <>
      <circle cx="8" cy="8" r="7.5" fill="currentColor" />
      <path class="cut" d="M4.5 8.3l2.4 2.4 4.6-5" />
    </>
  ),
  warning: (
    <>
      <path d="M8 .8L15.6 14.6H.4z" fill="currentColor" />
      <path class="cut" d="M8 5.6v4.2M8 12v.2" />
    </>
  ),
  bad: (
    <>
      <path d="M4.9.5h6.2l4.4 4.4v6.2l-4.4 4.4H4.9L.5 11.1V4.9z" fill="currentColor" />
      <path class="cut" d="M5.2 5.2l5.6 5.6M10.8 5.2l-5.6 5.6" />
    </>
  ),
  new: <circle class="line" cx="8" cy="8" r="6.6" stroke-dasharray="3 2.2" />,
  quiet: (
    <>
      <circle class="line" cx="8" cy="8" r="6.6" />
      <path class="line" d="M5 8h6" />
    </>
  ),
};

const drawn = (tone: Tone): HtmlEscapedString =>
  raw(
    String(
      <svg class="shape" width="16" height="16" viewBox="0 0 16 16" aria-hidden="true" focusable="false">
        {SHAPES[tone]}
      </svg>,
    ),
  );

/** Rendered once, because a page has hundreds of them. */
const DRAWN: Readonly<Record<Tone, HtmlEscapedString>> = {
  good: drawn("good"),
  warning: drawn("warning"),
  bad: drawn("bad"),
  new: drawn("new"),
  quiet: drawn("quiet"),
};

export const Shape = ({ tone }: { tone: Tone }) => <>{DRAWN[tone]}</>;

/** A word with the shape and colour of its tone. */
export const State = ({ tone, children }: { tone: Tone; children?: Child }) => (
  <span class={`state ${tone}`}>
    {DRAWN[tone]}
    <span>{children}</span>
  </span>
);

/** How a backup ended. */
export const AttemptState = ({ attempt }: { attempt: { status: BackupStatus; error: string | null } }) => (
  <State tone={isEndedByHand(attempt) ? "warning" : BACKUP_TONES[attempt.status]}>
    {backupWord(attempt)}
  </State>
);

/** A time, relative and absolute. */
export const Moment = ({ at, page }: { at: string; page: Page }) => (
  <time datetime={at}>
    <span class="relative">{page.times.relative(at)}</span>{" "}
    <span class="absolute">{page.times.absolute(at)}</span>
  </time>
);

/** A time, or the text `none`. */
export const MomentOr = ({ at, page, none }: { at: string | null; page: Page; none: string }) =>
  at === null ? <span class="muted">{none}</span> : <Moment at={at} page={page} />;

/** The name of a database as a link to its backups. */
export const DatabaseLink = ({ database, page }: { database: NamedDatabase; page: Page }) => (
  <a href={`${pageAddress({ ...page.query, page: 1, backup: null, database })}#history`}>
    <DatabaseName database={database} />
  </a>
);

export const DatabaseName = ({ database: { server, database } }: { database: NamedDatabase }) =>
  isGlobalsPlace({ database }) ? (
    <>
      <bdi class="server">{server}</bdi> (globals)
    </>
  ) : (
    <>
      <bdi class="server">{server}</bdi>
      <span class="server">/</span>
      <bdi>{database}</bdi>
    </>
  );

/** A name with its value. */
export const Fact = ({ name, children }: { name: string; children?: Child }) => (
  <div class="fact">
    <dt>{name}</dt>
    <dd>{children}</dd>
  </div>
);

/** A share from 0 to 1 as a bar. It is decorative: the text beside it gives the number. */
export const Bar = ({ ratio, tone }: { ratio: number; tone: Tone }) => (
  <svg
    class={`bar ${tone}`}
    width="100%"
    height="8"
    viewBox="0 0 100 8"
    preserveAspectRatio="none"
    aria-hidden="true"
    focusable="false"
  >
    <rect class="rest" width="100" height="8" />
    <rect width={(100 * Math.min(1, Math.max(0, ratio))).toFixed(2)} height="8" fill="currentColor" />
  </svg>
);

type NamedDatabase = Pick<DatabaseStatus, "server" | "database">;
