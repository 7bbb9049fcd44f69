import { expect, test } from "bun:test";
import { runRecord } from "../../../../test/suites/catalog/records.ts";
import type { RunRecord } from "../../../catalog/records.ts";
import { attemptName, Restored } from "./attempts.ts";
import { type Looked, type Step, stepFor } from "./steps.ts";

const BACKUP = { id: crypto.randomUUID(), database: "app" };
const ATTEMPT = attemptName(BACKUP.id);
const SYSTEM = "7123456789";

function restore(change: Record<string, unknown> = {}, run: Partial<RunRecord> = {}): RunRecord {
  const statistics = {
    ...{ backup_id: BACKUP.id, target_database: ATTEMPT, target_place: "127.0.0.1:5432", dry_run: false },
    ...{ is_selection: false, tables: 3, target_system: SYSTEM, target_oid: "20000", ...change },
  };
  return runRecord({ job: "restore", outcome: "OK", statistics, ...run });
}

/** What a later restore into the same database has recorded when it began. */
function cutOff(outcome: RunRecord["outcome"], change: Record<string, unknown> = {}): RunRecord {
  return restore({ tables: undefined, ...change }, { outcome, started_at: "2026-01-02T00:00:00.000Z" });
}

function stepWith(
  databases: Record<string, string>,
  runs: RunRecord[],
  { isEmpty = false, ...change }: Partial<Looked> & { system?: string | undefined } = {},
): Step {
  const system = "system" in change ? change.system : SYSTEM;
  const seen = { system, databases: Object.entries(databases).map(([name, oid]) => ({ name, oid })) };
  const restored = new Restored(runs);
  const hasBegun = restored.hasBegun([BACKUP.id], seen);
  return stepFor(BACKUP, { seen, restored, isEmpty, hasBegun, resume: true, label: "target", ...change });
}

test("only the very database that was restored as a whole is skipped", () => {
  expect(stepWith({ app: "20000" }, [restore()])).toEqual({ do: "skip" });
  const refused: [string, RunRecord[]][] = [
    ["another OID: dropped and made anew by a deploy tool", [restore({ target_oid: "30000" })]],
    ["another server at the same host and port", [restore({ target_system: "999" })]],
    ["only a selection", [restore({ is_selection: true, target_database: "app" })]],
    ["only in part", [restore({}, { outcome: "PARTIAL" })]],
    ["no table came", [restore({}, { outcome: "FAILED" })]],
    ["another backup", [restore({ backup_id: crypto.randomUUID() })]],
    ["a record of an older version", [restore({ target_oid: undefined, target_system: undefined })]],
    [
      "replaced since by another backup",
      [restore(), restore({ backup_id: "other" }, { started_at: "2026-01-02T00:00:00.000Z" })],
    ],
    ...["FAILED", "INTERRUPTED", "RUNNING"].map((outcome): [string, RunRecord[]] => [
      "filled anew by a restore that did not end well",
      [restore(), cutOff(outcome as RunRecord["outcome"])],
    ]),
    ["none", []],
  ];
  for (const [, runs] of refused) expect(stepWith({ app: "20000" }, runs)).toMatchObject({ do: "refuse" });
  expect(stepWith({ app: "20000" }, [restore()], { system: undefined })).toMatchObject({ do: "refuse" });
  expect(stepWith({ app: "20000" }, [restore()], { resume: false })).toMatchObject({ do: "refuse" });
});

test("an empty database is filled, whatever a record says", () => {
  expect(stepWith({ app: "20000" }, [restore()], { isEmpty: true })).toEqual({ do: "fill" });
  expect(stepWith({ app: "30000" }, [restore()], { isEmpty: true })).toEqual({ do: "fill" });
  // The backup holds no table: there is nothing to fill.
  expect(stepWith({ app: "20000" }, [restore({ tables: 0 })], { isEmpty: true })).toEqual({ do: "skip" });
});

test("a restored database that has not its name yet is renamed, and never hidden by another one", () => {
  expect(stepWith({ [ATTEMPT]: "20000" }, [restore()])).toEqual({
    ...{ do: "rename", attempt: ATTEMPT, isPartial: false },
  });
  expect(stepWith({ [ATTEMPT]: "20000" }, [restore({}, { outcome: "PARTIAL" })])).toMatchObject({
    ...{ do: "rename", isPartial: true },
  });
  expect(stepWith({ [ATTEMPT]: "20000" }, [])).toEqual({ do: "create", drop: [ATTEMPT] });
  // The server was reverted: this attempt has got the OID of an earlier one.
  const earlier = restore({ target_database: attemptName(BACKUP.id) });
  for (const runs of [[earlier], [earlier, cutOff("INTERRUPTED")], [restore(), cutOff("FAILED")]])
    expect(stepWith({ [ATTEMPT]: "20000" }, runs)).toEqual({ do: "create", drop: [ATTEMPT] });
  for (const isEmpty of [true, false]) {
    const step = stepWith({ app: "30000", [ATTEMPT]: "20000" }, [restore()], { isEmpty });
    if (step.do !== "refuse") throw new Error(step.do);
    expect(step.error.message).toContain(`"${ATTEMPT}" is the one that was restored`);
    expect(step.error.hint).toContain('rename or drop "app"');
  }
});

test("only a restore that was begun on this server can be resumed, and only there --resume is suggested", () => {
  const begun = (runs: RunRecord[], names: string[] = [], system: string | undefined = SYSTEM) =>
    new Restored(runs).hasBegun([BACKUP.id], {
      ...{ system, databases: names.map((name) => ({ name, oid: "1" })) },
    });
  expect(begun([], [ATTEMPT])).toBe(true);
  expect(begun([restore()])).toBe(true);
  expect(begun([restore({ target_system: "999" })])).toBe(false);
  expect(begun([restore({ target_database: "app" })])).toBe(false);
  expect(begun([], [attemptName(crypto.randomUUID()), "app"])).toBe(false);
  const hint = (runs: RunRecord[], resume: boolean) => {
    const step = stepWith({ app: "5" }, runs, { resume });
    return step.do === "refuse" ? step.error.hint : undefined;
  };
  expect(hint([], false)).toBe("restore onto an empty server");
  expect(hint([], true)).toContain("nothing to resume");
  expect(hint([restore()], false)).toContain("add --resume");
  expect(hint([restore()], true)).toContain("this very database");
});
