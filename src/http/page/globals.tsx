import type { GlobalsStatus } from "../../status/report.ts";
import { LOST_PASSWORDS } from "../../status/verdict.ts";
import { Moment, type Page, State } from "./elements.tsx";
import { shortened } from "./words.ts";

/** The backups of the globals of each server. */
export const Globals = ({ globals, page }: { globals: readonly GlobalsStatus[]; page: Page }) => {
  if (globals.length === 0) return null;
  return (
    <section aria-labelledby="globals">
      <h2 id="globals">Roles and tablespaces</h2>
      <ul class="rows">
        {globals.map((one) => (
          <GlobalsRow globals={one} page={page} />
        ))}
      </ul>
    </section>
  );
};

const GlobalsRow = ({ globals, page }: { globals: GlobalsStatus; page: Page }) => {
  const { server, state, newest_good: good, last_attempt: attempt, has_lost_passwords } = globals;
  const tone = state === "good" ? "good" : state === "failing" || state === "stale" ? "bad" : "warning";
  return (
    <li class={`edge ${tone}`}>
      <p class="top">
        <b>
          <bdi>{server}</bdi>
        </b>
        <State tone={tone}>{state}</State>
        {good !== null && (
          <span class="muted">
            <Moment at={good.started_at} page={page} /> in{" "}
            <bdi>{good.storages.join(", ") || "no storage"}</bdi>
          </span>
        )}
      </p>
      {has_lost_passwords && <p class="muted">{LOST_PASSWORDS}</p>}
      {state === "failing" && attempt?.error != null && <p class="error">{shortened(attempt.error)}</p>}
    </li>
  );
};
