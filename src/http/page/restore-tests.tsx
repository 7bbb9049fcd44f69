import { durationText, sizeText } from "../../base/text/amounts.ts";
import type { DatabaseStatus, RestoreTestStatus } from "../../status/report.ts";
import { earlierText } from "../../status/restore-tests.ts";
import { Moment, type Page, State } from "./elements.tsx";
import { shortened } from "./words.ts";

/** Databases in this list; the failed ones come first. */
const ROWS_MAX = 200;

export const RestoreTests = ({ databases, page }: { databases: readonly DatabaseStatus[]; page: Page }) => {
  const tested = databases.flatMap(({ server, database, restore_test: test }) =>
    test === null ? [] : [{ name: `${server}/${database}`, test }],
  );
  if (tested.length === 0) return null;
  const isFailed = ({ test }: { test: RestoreTestStatus }) => test.outcome === "FAILED";
  const sorted = [...tested.filter(isFailed), ...tested.filter((one) => !isFailed(one))];
  return (
    <section aria-labelledby="restore-tests">
      <h2 id="restore-tests">Restore tests</h2>
      <ul class="rows">
        {sorted.slice(0, ROWS_MAX).map(({ name, test }) => (
          <TestRow name={name} test={test} page={page} />
        ))}
      </ul>
      {sorted.length > ROWS_MAX && <p class="muted">and {sorted.length - ROWS_MAX} more that passed</p>}
    </section>
  );
};

const TestRow = ({ name, test, page }: { name: string; test: RestoreTestStatus; page: Page }) => {
  const tone = test.outcome === "PASSED" ? "good" : "bad";
  return (
    <li class={`edge ${tone}`}>
      <p class="top">
        <b>
          <bdi>{name}</bdi>
        </b>
        <State tone={tone}>{test.outcome.toLowerCase()}</State>
        <span class="muted">
          {test.storage !== null && (
            <>
              from <bdi>{test.storage}</bdi>{" "}
            </>
          )}
          <Moment at={test.finished_at} page={page} />
          {test.recovery_ms !== null &&
            ` · recovery ${durationText(test.recovery_ms)} for ${sizeText(test.dump_bytes)}, before: ${earlierText(test)}`}
          {tone === "bad" && test.last_passed_at !== null && (
            <>
              {" "}
              · last passed <Moment at={test.last_passed_at} page={page} />
            </>
          )}
        </span>
      </p>
      {test.error !== null && <p class="error">{shortened(test.error)}</p>}
    </li>
  );
};
