import type { Steps } from "../base/steps.ts";
import { durationText, sizeText } from "../base/text/amounts.ts";
import { type Style, tableSteps } from "../base/text/table.ts";
import { wallTime } from "../base/text/zoned-time.ts";
import type { RestoreTestRecord } from "../catalog/records.ts";
import type { DatabaseStatus, RestoreTestStatus, StatusReport } from "./report.ts";
import type { ReportRecords } from "./source.ts";

/** The newest result of each database, by `SERVER/DATABASE`, with its recovery times. */
export function restoreTestStatuses({ tests }: Pick<ReportRecords, "tests">): Map<string, RestoreTestStatus> {
  const statuses = new Map<string, RestoreTestStatus>();
  for (const { latest, passed, recoveries, ...of } of tests) {
    if (latest === null) continue;
    const { backup_id, outcome, finished_at, storage, target, prover, error } = latest;
    statuses.set(testedName(of), {
      ...{ backup_id, outcome, finished_at, storage, target, prover, error },
      last_passed_at: passed?.finished_at ?? null,
      dump_bytes: passed?.dump_bytes ?? null,
      recovery_ms: passed && recoveryMs(passed),
      recoveries: recoveries.toReversed(),
    });
  }
  return statuses;
}

/** From the first request to the storage until pg_restore had ended; null if the test did not come that far. */
export function recoveryMs({
  fetch_ms,
  restore_ms,
}: Pick<RestoreTestRecord, "fetch_ms" | "restore_ms">): number | null {
  return fetch_ms === null || restore_ms === null ? null : fetch_ms + restore_ms;
}

/** The key of a database among the results. */
export function testedName({ server, database }: { server: string; database: string }): string {
  return `${server}/${database}`;
}

interface Tested {
  name: string;
  test: RestoreTestStatus;
}

/** The databases with a restore test, the failed ones first; undefined if there is none. */
export function* restoreTestTable({ databases }: StatusReport, style: Style): Steps<string | undefined> {
  const tested = databases.flatMap((one) => testedOf(one));
  if (tested.length === 0) return undefined;
  return yield* tableSteps(
    tested.toSorted((a, b) => Number(a.test.outcome !== "FAILED") - Number(b.test.outcome !== "FAILED")),
    [
      { title: "DATABASE", isName: true, cell: ({ name }) => name },
      {
        title: "RESULT",
        cell: ({ test: { outcome } }) =>
          outcome === "PASSED" ? style.good("passed") : style.bad(outcome.toLowerCase()),
      },
      { title: "TESTED", cell: ({ test }) => wallTime(test.finished_at, style) },
      { title: "FROM", isName: true, cell: ({ test }) => test.storage ?? "-" },
      { title: "LAST PASSED", cell: ({ test }) => wallTime(test.last_passed_at, style) },
      { title: "DUMP", cell: ({ test }) => sizeText(test.dump_bytes), align: "right" },
      { title: "RECOVERY", cell: ({ test }) => durationText(test.recovery_ms), align: "right" },
      { title: "BEFORE", cell: ({ test }) => earlierText(test) },
      { title: "NOTE", cell: ({ test }) => shortened(test.error) },
    ],
    style,
  );
}

/** Earlier recovery times, newest first. */
export function earlierText({ recoveries }: RestoreTestStatus): string {
  const earlier = recoveries.slice(0, -1).reverse().slice(0, 3);
  return earlier.map(({ recovery_ms }) => durationText(recovery_ms)).join(", ") || "-";
}

function testedOf({ server, database, restore_test }: DatabaseStatus): Tested[] {
  return restore_test === null ? [] : [{ name: `${server}/${database}`, test: restore_test }];
}

const NOTE_CHARACTERS_MAX = 120;

function shortened(error: string | null): string {
  if (error === null) return "";
  return error.length > NOTE_CHARACTERS_MAX ? `${error.slice(0, NOTE_CHARACTERS_MAX)}…` : error;
}
