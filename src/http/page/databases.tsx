import type { Child } from "hono/jsx";
import type { Steps } from "../../base/steps.ts";
import { durationText, plural, sizeText } from "../../base/text/amounts.ts";
import type { BackupPoint } from "../../catalog/overview.ts";
import { lastAttempt } from "../../status/last-attempt.ts";
import type { DatabaseStatus, GoodBackupStatus } from "../../status/report.ts";
import { isOurs, isOverdue } from "../../status/verdict.ts";
import {
  AttemptState,
  DatabaseLink,
  DatabaseName,
  Fact,
  MomentOr,
  type Page,
  State,
  type Tone,
} from "./elements.tsx";
import { type PageSeries, type PageYear, seriesKey } from "./history.ts";
import { BriefMarks, Marks } from "./marks.tsx";
import type { DatabaseGroups } from "./order.ts";
import { pageAddress } from "./query.ts";
import { rendered } from "./rendered.ts";
import { Spark, sparkPoints } from "./spark.tsx";
import { shortened } from "./words.ts";
import { Year } from "./year.tsx";

const TONES: Readonly<Record<DatabaseStatus["state"], Tone>> = {
  good: "good",
  partial: "warning",
  failing: "bad",
  stale: "bad",
  never: "new",
  gone: "quiet",
  elsewhere: "quiet",
};

/** The states in words that explain them. */
const WORDS: Readonly<Record<DatabaseStatus["state"], string>> = {
  good: "good",
  partial: "partial: lacks a copy",
  failing: "failing: last attempt failed",
  stale: "stale: newest backup too old",
  never: "no backup yet",
  gone: "gone",
  elsewhere: "of another installation",
};

/** The databases of the page, rendered. */
export interface DatabaseLists {
  cards: Child[];
  brief: BriefList;
  gone: BriefList;
  left_out: number;
}

interface BriefList {
  title: string;
  lines: Child[];
  isOpen: boolean;
}

/** Cards, and lines, that are rendered without a pause. */
const CARDS_AT_ONCE = 8;
const LINES_AT_ONCE = 50;

export function* databaseLists(
  { full, brief, gone, left_out }: DatabaseGroups,
  series: PageSeries,
  page: Page,
): Steps<DatabaseLists> {
  const cards = full.map((database, index) => (
    <DatabaseCard
      id={`database-${index}`}
      database={database}
      points={series.get(seriesKey(database)) ?? []}
      page={page}
    />
  ));
  const list = function* (title: string, databases: readonly DatabaseStatus[]): Steps<BriefList> {
    const lines = databases.map((database) => <BriefLine database={database} page={page} />);
    const isOpen = databases.some(({ state }) => state !== "good" && isOurs({ state }));
    return { title, lines: yield* rendered(lines, LINES_AT_ONCE), isOpen };
  };
  return {
    cards: yield* rendered(cards, CARDS_AT_ONCE),
    brief: yield* list(plural(brief.length, "more database"), brief),
    gone: yield* list(
      `${plural(gone.length, "database")} ${gone.every(({ state }) => state === "elsewhere") ? "of another installation" : "no longer backed up"}`,
      gone,
    ),
    left_out,
  };
}

export interface DatabasesInput {
  lists: DatabaseLists;
  /** Of the database that the page is about. */
  year: PageYear | null;
  page: Page;
}

export const Databases = ({ lists: { cards, brief, gone, left_out }, year, page }: DatabasesInput) => (
  <section aria-labelledby="databases">
    <h2 id="databases">Databases</h2>
    {page.query.database !== null && (
      <p>
        Only <DatabaseName database={page.query.database} />.{" "}
        <a href={pageAddress({ ...page.query, page: 1, backup: null, database: null })}>Show all databases</a>
      </p>
    )}
    {cards.length === 0 && (
      <p class="muted">
        {page.query.database ? "There is no such database." : "No database has been found yet."}
      </p>
    )}
    {cards.length > 0 && <ul class="cards">{cards}</ul>}
    {year !== null && cards.length > 0 && <Year year={year} page={page} />}
    <BriefDatabases list={brief} />
    <BriefDatabases list={gone} />
    {left_out > 0 && (
      <p class="muted">
        {plural(left_out, "other database")} not shown here: <code>pg321 status</code> shows all of them.
      </p>
    )}
  </section>
);

interface CardInput {
  id: string;
  database: DatabaseStatus;
  points: readonly BackupPoint[];
  page: Page;
}

/** The state of a database as a tone and in words. */
function standing(database: DatabaseStatus, { times }: Page): { tone: Tone; words: string } {
  const { state } = database;
  if (isOverdue(database, times.now)) return { tone: "bad", words: "no good backup" };
  return { tone: TONES[state], words: WORDS[state] };
}

const DatabaseCard = ({ id, database, points, page }: CardInput) => {
  const { state, newest_good, next_backup_at } = database;
  const attempt = lastAttempt(database);
  const hasError = attempt?.error && (state === "failing" || state === "stale" || state === "never");
  const { tone, words } = standing(database, page);
  return (
    <li class={`card edge ${tone}`}>
      <div class="top">
        <h3>
          <DatabaseLink database={database} page={page} />
        </h3>
        <State tone={tone}>{words}</State>
      </div>
      {hasError && attempt !== null && <p class="error">Last attempt: {shortened(attempt.error ?? "")}</p>}
      <dl class="facts">
        <Fact name="Newest good backup">
          <MomentOr at={newest_good?.started_at ?? null} page={page} none="none" />
        </Fact>
        {newest_good && <SizeFact backup={newest_good} />}
        <Fact name="Last attempt">
          {attempt === null ? (
            <span class="muted">none</span>
          ) : (
            <>
              <AttemptState attempt={attempt} />{" "}
              <span class="absolute">{page.times.relative(attempt.started_at)}</span>
            </>
          )}
        </Fact>
        <Fact name={state === "gone" ? "Gone since" : "Next backup"}>
          <MomentOr
            at={state === "gone" ? database.gone_at : next_backup_at}
            page={page}
            none="not scheduled"
          />
        </Fact>
      </dl>
      <Marks database={database} />
      <Copies database={database} />
      {points.length > 0 && (
        <div class="sparks">
          <Spark
            id={`${id}-size`}
            name="Size"
            of="backup"
            points={sparkPoints(points, ({ dump_bytes }) => dump_bytes)}
            text={sizeText}
            page={page}
          />
          <Spark
            id={`${id}-duration`}
            name="Duration"
            of="backup"
            points={sparkPoints(points, durationMs)}
            text={durationText}
            page={page}
          />
        </div>
      )}
    </li>
  );
};

const SizeFact = ({ backup: { dump_bytes, object_bytes } }: { backup: GoodBackupStatus }) => (
  <Fact name="Size">
    <span class="relative">{sizeText(dump_bytes)}</span>{" "}
    <span class="absolute">{sizeText(object_bytes)} stored</span>
  </Fact>
);

/**
 * The storages with copies, and those that lack the newest backup. That is a problem unless the database is good:
 * then only storages lack it that receive archived copies.
 */
const Copies = ({
  database: { copies, newest_good, database, server, state },
}: {
  database: DatabaseStatus;
}) => {
  if (newest_good === null && copies.every((one) => one.copies === 0)) return null;
  return (
    <ul class="copies" aria-label={`Copies of ${server}/${database}`}>
      {copies.map(({ storage, copies: number, bytes, is_used }) => {
        const hasNewest = newest_good?.storages.includes(storage) === true;
        const lacking = state === "good" || newest_good === null || !is_used ? "quiet" : "warning";
        return (
          <li>
            <State tone={hasNewest ? "good" : lacking}>
              <bdi>{storage}</bdi>
            </State>{" "}
            {!hasNewest && newest_good !== null && "lacks the newest backup · "}
            {number === 0 ? "no copy" : `${plural(number, "copy", "copies")} · ${sizeText(bytes)}`}
          </li>
        );
      })}
    </ul>
  );
};

const BriefDatabases = ({ list: { title, lines, isOpen } }: { list: BriefList }) =>
  lines.length === 0 ? null : (
    <details open={isOpen}>
      <summary>{title}</summary>
      <ul class="brief">{lines}</ul>
    </details>
  );

const BriefLine = ({ database, page }: { database: DatabaseStatus; page: Page }) => (
  <li>
    <BriefState database={database} page={page} /> <DatabaseLink database={database} page={page} />{" "}
    <span class="muted">
      {database.newest_good
        ? `${page.times.relative(database.newest_good.started_at)}, ${sizeText(database.newest_good.dump_bytes)}`
        : "no good backup"}
    </span>{" "}
    <BriefMarks marks={database.marks} />
  </li>
);

const BriefState = ({ database, page }: { database: DatabaseStatus; page: Page }) => {
  const { tone, words } = standing(database, page);
  return <State tone={tone}>{words.replace(/:.*/, "")}</State>;
};

function durationMs({ started_at, finished_at }: BackupPoint): number | null {
  return finished_at === null ? null : Math.max(0, Date.parse(finished_at) - Date.parse(started_at));
}
