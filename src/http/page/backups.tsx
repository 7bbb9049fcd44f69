import { durationText, sizeText } from "../../base/text/amounts.ts";
import { copyWord, isEndedByHand } from "../../base/text/states.ts";
import type { CopyRecord, CopyState } from "../../catalog/records.ts";
import { shortId } from "../../jobs/copies/object-key.ts";
import type { ListedBackup } from "../../status/list-backups.ts";
import {
  AttemptState,
  DatabaseLink,
  DatabaseName,
  Moment,
  type Page,
  State,
  type Tone,
} from "./elements.tsx";
import type { PageHistory } from "./history.ts";
import { backupAddress, pageAddress } from "./query.ts";
import { shortened } from "./words.ts";

export const COPY_TONES: Readonly<Record<CopyState, Tone>> = {
  CONFIRMED: "good",
  INTENDED: "new",
  FAILED: "bad",
  DAMAGED: "bad",
  MISSING: "bad",
  DELETING: "quiet",
  HIDDEN: "quiet",
  DELETED: "quiet",
};

/** The titles of the columns, and their CSS classes. */
const TITLES = [
  ["Started", ""],
  ["Database", ""],
  ["Status", ""],
  ["Dump", "number"],
  ["Stored", "number"],
  ["Took", "number"],
  ["Copies", ""],
] as const;

export const Backups = ({ history, page }: { history: PageHistory; page: Page }) => (
  <section aria-labelledby="history">
    <h2 id="history">Backups{page.query.page > 1 && `, page ${page.query.page}`}</h2>
    {page.query.database !== null && (
      <p>
        Only backups of <DatabaseName database={page.query.database} />.{" "}
        <a href={`${pageAddress({ ...page.query, page: 1, database: null })}#history`}>Show all backups</a>
      </p>
    )}
    {history.backups.length === 0 ? (
      <p class="muted">{page.query.page > 1 ? "There are no older backups." : "No backup yet."}</p>
    ) : (
      <table aria-labelledby="history">
        <thead>
          <tr>
            {TITLES.map(([title, kind]) => (
              <th scope="col" class={kind}>
                {title}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {history.backups.map((listed) => (
            <BackupRow listed={listed} page={page} />
          ))}
        </tbody>
      </table>
    )}
    <Paging history={history} page={page} />
  </section>
);

const BackupRow = ({ listed, page }: { listed: ListedBackup; page: Page }) => {
  const { backup, copies, running_on, is_by_hand } = listed;
  const { started_at, finished_at, error } = backup;
  return (
    <tr>
      <td>
        <Moment at={started_at} page={page} />
      </td>
      <th scope="row">
        <DatabaseLink database={backup} page={page} />{" "}
        <span class="muted small block">
          <a class="id" href={backupAddress(page.query, backup.id)}>
            <code>{shortId(backup.id)}</code>
          </a>
          {backup.kind !== "dump" && ` ${backup.kind}`}
          {backup.held_at !== null &&
            (backup.hold_reason === null ? " · held" : ` · held: ${backup.hold_reason}`)}
        </span>
      </th>
      <td class="state-cell">
        <AttemptState attempt={backup} />
        {running_on !== null && ` on ${running_on}, ${is_by_hand ? "by hand" : "scheduled"}`}
        {error !== null && !isEndedByHand(backup) && <span class="error block">{shortened(error, 160)}</span>}
      </td>
      <td data-label="Dump" class="number">
        {sizeText(backup.dump_bytes)}
      </td>
      <td data-label="Stored" class="number">
        {sizeText(backup.object_bytes)}
      </td>
      <td data-label="Took" class="number">
        {durationText(finished_at === null ? null : Date.parse(finished_at) - Date.parse(started_at))}
      </td>
      <td data-label="Copies">
        <CopyList
          copies={isEndedByHand(backup) ? copies.filter(({ state }) => state !== "FAILED") : copies}
        />
      </td>
    </tr>
  );
};

const CopyList = ({ copies }: { copies: readonly CopyRecord[] }) =>
  copies.length === 0 ? (
    <span class="muted">none</span>
  ) : (
    <ul class="inline">
      {copies.map(({ storage, state }) => (
        <li>
          <State tone={COPY_TONES[state]}>
            <bdi>{storage}</bdi>
            {state !== "CONFIRMED" && ` ${copyWord(state)}`}
          </State>
        </li>
      ))}
    </ul>
  );

const Paging = ({ history, page: { query } }: { history: PageHistory; page: Page }) => {
  const address = (page: number) => `${pageAddress({ ...query, page })}#history`;
  if (query.page === 1 && !history.hasOlder) return null;
  return (
    <nav class="paging" aria-label="Pages of backups">
      {query.page > 2 && <a href={address(1)}>Newest</a>}
      {query.page > 1 && (
        <a href={address(query.page - 1)} rel="prev">
          Newer
        </a>
      )}
      <span aria-current="page">Page {query.page}</span>
      {history.hasOlder && (
        <a href={address(query.page + 1)} rel="next">
          Older
        </a>
      )}
    </nav>
  );
};
