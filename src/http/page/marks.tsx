import { plural } from "../../base/text/amounts.ts";
import type { MarkState, RuleName } from "../../rule/facts.ts";
import { markName, STATE_WORDS } from "../../rule/words.ts";
import { type MissingMark, missingByReason } from "../../status/marks-text.ts";
import type { DatabaseStatus, MarkStatus } from "../../status/report.ts";
import { DatabaseName, Moment, type Page, State, type Tone } from "./elements.tsx";
import { shortened } from "./words.ts";

const TONES: Readonly<Record<MarkState, Tone>> = {
  held: "good",
  lost: "bad",
  not_set_up: "new",
  not_demanded: "quiet",
};

const LABELS: Readonly<Record<RuleName, string>> = {
  copies: "copies",
  kinds: "kinds",
  off_site: "off-site",
  immutable: "immutable",
  zero_errors: "errors",
};

/** At most this many reasons, and this many databases for one of them. */
const REASONS_MAX = 30;
const NAMED_MAX = 8;

/** The five marks of one database: a digit, its meaning, and the state in a word. */
export const Marks = ({ database: { server, database, marks } }: { database: DatabaseStatus }) =>
  marks.length === 0 ? null : (
    <ul class="marks" aria-label={`Marks of 3-2-1-1-0 of ${server}/${database}`}>
      {marks.map(({ rule, state, demanded }) => (
        <li class={TONES[state]}>
          <span class={`digit ${state}`}>{demanded}</span> <span class="label">{LABELS[rule]}</span>{" "}
          <span class="label">{STATE_WORDS[state]}</span>
        </li>
      ))}
    </ul>
  );

/** The five marks in a few characters, as `pg321 status` prints them, and in words for a screen reader. */
export const BriefMarks = ({ marks }: { marks: readonly MarkStatus[] }) => {
  if (marks.length === 0) return null;
  const letters = { held: "", lost: "x", not_set_up: "-", not_demanded: "." } as const;
  const lost = marks.filter(({ state }) => state === "lost");
  return (
    <span>
      <span class="muted" aria-hidden="true">
        {marks.map(({ state, demanded }) => letters[state] || String(demanded)).join(" ")}
      </span>
      <span class="unseen">
        {lost.length === 0 ? "no mark lost" : `lost: ${lost.map(markName).join(", ")}`}
      </span>
    </span>
  );
};

/** Every missing mark of the databases, each reason once, with the next step. */
export const MissingMarks = ({ databases, page }: { databases: readonly DatabaseStatus[]; page: Page }) => {
  if (databases.every(({ marks }) => marks.length === 0)) return null;
  const reasons = missingByReason(databases);
  const shown = reasons.slice(0, REASONS_MAX);
  return (
    <section aria-labelledby="marks">
      <h2 id="marks">3-2-1-1-0</h2>
      {reasons.length === 0 ? (
        <p>
          <State tone="good">Every database holds every mark that the config demands.</State>
        </p>
      ) : (
        <ul class="rows">
          {shown.map((reason) => (
            <Reason reason={reason} page={page} />
          ))}
        </ul>
      )}
      {reasons.length > shown.length && (
        <p class="muted">
          {plural(reasons.length - shown.length, "other reason")} not shown here:{" "}
          <code>pg321 status --json</code> has all of them.
        </p>
      )}
    </section>
  );
};

const Reason = ({ reason, page }: { reason: MissingMark; page: Page }) => {
  const { mark, names, since, databases } = reason;
  const rest = databases.length - NAMED_MAX;
  return (
    <li>
      <p>
        <State tone={TONES[mark.state]}>
          {names} {STATE_WORDS[mark.state]}
        </State>
        {mark.state === "lost" && (
          <>
            {" "}
            since <Moment at={since} page={page} />
          </>
        )}
        {": "}
        {databases.slice(0, NAMED_MAX).map((database, index) => (
          <>
            {index > 0 && ", "}
            <DatabaseName database={database} />
          </>
        ))}
        {rest > 0 && ` and ${plural(rest, "other")}`}
      </p>
      <p class="small">{shortened(mark.sentence)}</p>
      {mark.next_step !== null && <p class="small">Next: {shortened(mark.next_step)}</p>}
    </li>
  );
};
