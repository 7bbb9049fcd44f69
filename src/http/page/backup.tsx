import { durationText, plural, sizeText } from "../../base/text/amounts.ts";
import { copyWord, isEndedByHand } from "../../base/text/states.ts";
import { hookRunsOf } from "../../jobs/backup/hook-runs.ts";
import { shortId } from "../../jobs/copies/object-key.ts";
import { checkTexts } from "../../jobs/restore-test/told.ts";
import { type DumpFacts, parseFacts } from "../../postgres/counts/facts.ts";
import { leftOutText } from "../../postgres/counts/left-out.ts";
import { streamsText } from "../../postgres/counts/streams.ts";
import { factsText, momentText } from "../../status/facts-text.ts";
import { recoveryMs } from "../../status/restore-tests.ts";
import { lockText } from "../../storage/immutability.ts";
import { COPY_TONES } from "./backups.tsx";
import { AttemptState, DatabaseLink, Fact, Moment, MomentOr, type Page, State } from "./elements.tsx";
import type { PageBackup } from "./history.ts";
import { backupAddress, pageAddress } from "./query.ts";
import { shortened } from "./words.ts";

/** Tables in the list; the largest come first. */
const TABLES_MAX = 100;

/** Everything about one backup, as `pg321 show` prints it. */
export const BackupPart = ({ found, page }: { found: PageBackup | undefined; page: Page }) => {
  const everything = pageAddress({ ...page.query, page: 1, backup: null, database: null });
  if (found === undefined)
    return (
      <section aria-labelledby="backup">
        <h1 id="backup">There is no such backup</h1>
        <p>
          Its record may have been removed. <a href={everything}>Show everything</a>
        </p>
      </section>
    );
  const { backup } = found.listed;
  const facts = parseFacts(backup.facts);
  return (
    <section aria-labelledby="backup">
      <p>
        <a href={everything}>Everything</a> · <DatabaseLink database={backup} page={page} />
      </p>
      <h1 id="backup">
        Backup <code>{shortId(backup.id)}</code>
      </h1>
      <Summary found={found} page={page} />
      {backup.error !== null && !isEndedByHand(backup) && (
        <p class="error">{shortened(backup.error, 4000)}</p>
      )}
      <Copies found={found} page={page} />
      <RestoreTest found={found} page={page} />
      {facts && <Content facts={facts} />}
      <Hooks found={found} />
    </section>
  );
};

const Summary = ({ found, page }: { found: PageBackup; page: Page }) => {
  const { backup, running_on } = found.listed;
  const { started_at, finished_at, dump_bytes, object_bytes } = backup;
  const facts = parseFacts(backup.facts);
  const moment = facts && momentText(facts);
  const left = leftOutText(facts?.left_out);
  return (
    <dl class="facts card">
      <Fact name="Status">
        <AttemptState attempt={backup} />
        {running_on !== null && ` on ${running_on}`}
      </Fact>
      <Fact name="Started">
        <Moment at={started_at} page={page} />
      </Fact>
      {backup.host !== null && <Fact name="Host">{backup.host}</Fact>}
      <Fact name="Took">
        {durationText(finished_at === null ? null : Date.parse(finished_at) - Date.parse(started_at))}
      </Fact>
      <Fact name="Dump">{sizeText(dump_bytes)}</Fact>
      <Fact name="Stored">
        {sizeText(object_bytes)}, {backup.compression}, {backup.encryption}
      </Fact>
      <Fact name="PostgreSQL">{backup.server_version ?? "unknown"}</Fact>
      <Fact name="Program">
        {backup.kind === "globals" ? "pg_dumpall" : "pg_dump"} {backup.pg_dump_version ?? ""}
      </Fact>
      {facts?.streams && <Fact name="Streams">{streamsText(facts.streams)}</Fact>}
      {backup.held_at !== null && <Fact name="Held">{backup.hold_reason ?? "yes"}</Fact>}
      {moment && <Fact name="Snapshot">{moment}</Fact>}
      {left !== undefined && <Fact name="Left out">{left}</Fact>}
      <Fact name="Id">
        <code>{backup.id}</code>
      </Fact>
      <Fact name="Object">
        <code>{backup.object_key}</code>
      </Fact>
      {backup.object_sha256 !== null && (
        <Fact name="SHA-256">
          <code>{backup.object_sha256}</code>
        </Fact>
      )}
      {backup.previous_id !== null && (
        <Fact name="Previous">
          <a href={backupAddress(page.query, backup.previous_id)}>
            <code>{shortId(backup.previous_id)}</code>
          </a>
        </Fact>
      )}
    </dl>
  );
};

const Copies = ({ found: { listed }, page }: { found: PageBackup; page: Page }) => (
  <section aria-labelledby="copies">
    <h2 id="copies">Copies</h2>
    {listed.copies.length === 0 ? (
      <p class="muted">none</p>
    ) : (
      <ul class="rows">
        {listed.copies.map((copy) => (
          <li class={`edge ${COPY_TONES[copy.state]}`}>
            <p class="top">
              <b>
                <bdi>{copy.storage}</bdi>
              </b>
              <State tone={COPY_TONES[copy.state]}>{copyWord(copy.state)}</State>
            </p>
            <dl class="facts">
              <Fact name="Confirmed">
                <MomentOr at={copy.confirmed_at} page={page} none="never" />
              </Fact>
              <Fact name="Last read back">
                <MomentOr at={copy.verified_at} page={page} none="never" />
              </Fact>
              <Fact name="Lock">{lockText(copy) ?? "none"}</Fact>
            </dl>
            {(copy.error ?? copy.lock_error) !== null && (
              <p class="error">{shortened(copy.error ?? copy.lock_error ?? "")}</p>
            )}
          </li>
        ))}
      </ul>
    )}
  </section>
);

const RestoreTest = ({ found: { test }, page }: { found: PageBackup; page: Page }) => {
  const recovery = test && recoveryMs(test);
  const problem = test && checkTexts(test);
  return (
    <section aria-labelledby="restore-test">
      <h2 id="restore-test">Restore test</h2>
      {test === null ? (
        <p class="muted">This backup has not been restored by a test.</p>
      ) : (
        <>
          <p>
            <State tone={test.outcome === "PASSED" ? "good" : "bad"}>{test.outcome.toLowerCase()}</State>{" "}
            <Moment at={test.finished_at} page={page} /> from <bdi>{test.storage}</bdi> ({test.target})
            {recovery !== null && `, recovery ${durationText(recovery)}`},{" "}
            {test.checks.filter(({ is_ok }) => is_ok).length} of {plural(test.checks.length, "check")}
          </p>
          {problem !== null && <p class="error">{shortened(problem, 4000)}</p>}
        </>
      )}
    </section>
  );
};

const Content = ({ facts }: { facts: DumpFacts }) => {
  const tables = facts.tables.toSorted((a, b) => (b.rows ?? -1) - (a.rows ?? -1)).slice(0, TABLES_MAX);
  return (
    <section aria-labelledby="content">
      <h2 id="content">Content</h2>
      {factsText(facts).map((line) => (
        <p>{shortened(line)}</p>
      ))}
      {tables.length > 0 && (
        <details>
          <summary>
            {tables.length < facts.tables.length
              ? `The ${TABLES_MAX} largest of ${plural(facts.tables.length, "table")}`
              : plural(tables.length, "table")}
          </summary>
          <table aria-labelledby="content">
            <thead>
              <tr>
                <th scope="col">Table</th>
                <th scope="col" class="number">
                  Rows
                </th>
              </tr>
            </thead>
            <tbody>
              {tables.map(({ schema, name, rows, method }) => (
                <tr>
                  <th scope="row">
                    <bdi>{schema}</bdi>.<bdi>{name}</bdi>
                  </th>
                  <td class="number" data-label="Rows">
                    {rows === null
                      ? "not counted"
                      : `${method === "sampled" ? "about " : ""}${rows.toLocaleString("en")}`}
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </details>
      )}
    </section>
  );
};

const Hooks = ({ found: { listed } }: { found: PageBackup }) => {
  const hooks = Object.entries(hookRunsOf(listed.backup) ?? {}).flatMap(([kind, runs]) =>
    runs.map((run) => ({ kind, ...run })),
  );
  if (hooks.length === 0) return null;
  return (
    <section aria-labelledby="hooks">
      <h2 id="hooks">Hooks</h2>
      <ul class="rows">
        {hooks.map(({ kind, name, outcome, duration_ms, error }) => (
          <li class={`edge ${outcome === "OK" ? "good" : "bad"}`}>
            <p class="top">
              <span>
                {kind} <bdi>{name}</bdi>
              </span>
              <State tone={outcome === "OK" ? "good" : "bad"}>{outcome.toLowerCase()}</State>
              <span class="muted">{durationText(duration_ms)}</span>
            </p>
            {error !== null && <p class="error">{shortened(error)}</p>}
          </li>
        ))}
      </ul>
    </section>
  );
};
