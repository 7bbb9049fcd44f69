import { plural } from "../../base/text/amounts.ts";
import { notifierState } from "../../status/notifiers.ts";
import type { NotifierStatus } from "../../status/report.ts";
import { Moment, type Page, State, type Tone } from "./elements.tsx";
import { shortened } from "./words.ts";

const TONES: Readonly<Record<ReturnType<typeof notifierState>, Tone>> = {
  delivering: "good",
  "not delivering": "bad",
  "not used yet": "new",
};

export const Notifiers = ({ notifiers, page }: { notifiers: readonly NotifierStatus[]; page: Page }) =>
  notifiers.length === 0 ? null : (
    <section aria-labelledby="notifiers">
      <h2 id="notifiers">Notifiers</h2>
      <ul class="rows">
        {notifiers.map((notifier) => (
          <NotifierRow notifier={notifier} page={page} />
        ))}
      </ul>
    </section>
  );

const NotifierRow = ({ notifier, page }: { notifier: NotifierStatus; page: Page }) => {
  const { name, type, waiting, waiting_since, given_up, error, last_delivered_at } = notifier;
  const state = notifierState(notifier);
  return (
    <li class={`edge ${TONES[state]}`}>
      <p class="top">
        <b>
          <bdi>{name}</bdi>
        </b>
        <State tone={TONES[state]}>{state}</State>
        <span class="muted">
          {type}
          {last_delivered_at !== null && (
            <>
              {" "}
              · last delivered <Moment at={last_delivered_at} page={page} />
            </>
          )}
          {waiting_since !== null && (
            <>
              {" "}
              · {plural(waiting, "notice waits", "notices wait")} since{" "}
              <Moment at={waiting_since} page={page} />
            </>
          )}
          {given_up > 0 && ` · ${plural(given_up, "notice")} given up`}
        </span>
      </p>
      {error !== null && <p class="error">{shortened(error)}</p>}
    </li>
  );
};
