import { describe, expect, test } from "bun:test";
import {
  ago,
  BUCKET,
  copy,
  DEMANDS,
  DISK,
  R2,
  ruledStorage,
  ruleFacts,
} from "../../test/fixtures/rule-facts.ts";
import type { S3StorageConfig } from "../config/config.ts";
import type { ProbeFacts } from "../storage/immutability.ts";
import type { RuleFacts, RuleName } from "./facts.ts";
import { marksOf } from "./judge.ts";

function mark(rule: RuleName, part: Partial<RuleFacts> = {}): Record<string, unknown> {
  const found = marksOf(ruleFacts(part)).find((one) => one.rule === rule);
  return { state: found?.state, sentence: found?.sentence, next_step: found?.next_step };
}
const missing = (state: "lost" | "not_set_up", sentence: string, next_step: unknown) => ({
  state,
  sentence,
  next_step,
});
const withCopies = (...copies: ReturnType<typeof copy>[]) => ({ backup: { started_at: ago(2), copies } });
const REPAIR = "fill the missing copies, with: pg321 repair";
const BACKUP = "make a new backup, with: pg321 backup main/app";

test("a database with all five marks", () => {
  expect(
    marksOf(ruleFacts()).map(({ rule, state, demanded, sentence }) => [rule, state, demanded, sentence]),
  ).toEqual([
    ["copies", "held", 3, "3 copies: the live database, disk, r2"],
    ["kinds", "held", 2, "2 kinds of storage: disk (the live database, disk), bucket (r2)"],
    ["off_site", "held", 1, "off-site: r2"],
    ["immutable", "held", 1, "r2: locked until 2026-11-24 03:00:00 UTC (compliance)"],
    ["zero_errors", "held", 0, "the restore test of 2026-11-22 03:00 UTC found no error"],
  ]);
});

test.each(["DAMAGED", "MISSING", "HIDDEN", "DELETED", "DELETING", "FAILED", "INTENDED"] as const)(
  "a copy that is %s does not count for any mark",
  (state) => {
    const bad = withCopies(copy("disk"), copy("r2", { state, locked_until: ago(-24) }));
    expect(marksOf(ruleFacts(bad)).map((one) => one.state)).toEqual(["lost", "lost", "lost", "lost", "held"]);
  },
);

describe("3 copies", () => {
  test("a damaged copy, with the storage that lacks it", () => {
    const bad = withCopies(copy("disk"), copy("r2", { state: "DAMAGED" }));
    expect(mark("copies", bad)).toEqual(
      missing("lost", "2 of 3 copies: the live database, disk; not in r2 (damaged)", REPAIR),
    );
  });

  test("repair cannot fill a storage that is below min_free", () => {
    const bad = { ...withCopies(copy("disk"), copy("r2", { state: "FAILED" })), full: ["r2"] };
    const step = "free space in r2 or lower min_free, then fill the missing copies, with: pg321 repair";
    for (const rule of ["copies", "kinds", "off_site"] as const)
      expect(mark(rule, bad)["next_step"]).toBe(step);
    expect(mark("copies", { ...bad, full: ["disk"] })["next_step"]).toBe(REPAIR);
  });

  test("a removed copy is never filled again: only a new backup helps", () => {
    const bad = withCopies(copy("disk"), copy("r2", { state: "HIDDEN" }));
    expect(mark("copies", bad)).toEqual(
      missing("lost", "2 of 3 copies: the live database, disk; not in r2 (removed)", BACKUP),
    );
  });

  test("the live database counts only if the last backup saw it", () => {
    expect(mark("copies", { isLive: false })).toEqual(
      missing(
        "lost",
        "2 of 3 copies: disk, r2; the last backup did not see the live database",
        "see why the server could not be reached, with: pg321 doctor",
      ),
    );
    expect(mark("copies", { isLive: false, demands: { ...DEMANDS, copies: 2 } })["state"]).toBe("held");
  });

  test("an old backup, and one that is dated ahead, is no copy of the data", () => {
    const old = { backup: { started_at: ago(50), copies: [copy("disk"), copy("r2")] } };
    expect(mark("copies", old)).toEqual(
      missing("lost", "the newest good backup is from 2026-11-21 01:00 UTC: it is older than 2d 00h", BACKUP),
    );
    const [copies, kinds] = marksOf(ruleFacts(old));
    expect(copies?.lost_at?.toISOString()).toBe(ago(2));
    expect(kinds?.state).toBe("held");
    const ahead = { backup: { started_at: ago(-50), copies: [copy("disk"), copy("r2")] } };
    expect(mark("copies", ahead)["sentence"]).toBe(
      "the newest good backup is from 2026-11-25 05:00 UTC, ahead of the clock: its age is unknown",
    );
  });

  test("the config has no place for so many copies: not set up, and not lost", () => {
    const small = { storages: [DISK], ...withCopies(copy("disk")) };
    expect(mark("copies", small)).toEqual(
      missing(
        "not_set_up",
        "2 of 3 copies: the live database, disk",
        expect.stringContaining('add a [[storage]] of type "s3" at another site'),
      ),
    );
    expect(mark("copies", { demands: { ...DEMANDS, copies: 4 } })["state"]).toBe("not_set_up");
  });

  test("a copy in a storage that is no longer in the config does not count", () => {
    expect(mark("copies", { storages: [DISK] })["sentence"]).toBe("2 of 3 copies: the live database, disk");
  });

  test("a copy in an archive counts, but an archive without one lacks nothing", () => {
    const archived = { ...DISK, expire: { archive_to: "r2" } };
    expect(mark("copies", { storages: [archived, R2] })["state"]).toBe("held");
    const rest = { storages: [archived, R2], ...withCopies(copy("disk")) };
    expect(mark("copies", rest)).toMatchObject({
      state: "not_set_up",
      sentence: "2 of 3 copies: the live database, disk",
    });
  });
});

describe("2 kinds and 1 off-site", () => {
  test("only disks are left", () => {
    const bad = withCopies(copy("disk"), copy("r2", { state: "MISSING" }));
    expect(mark("kinds", bad)).toEqual(
      missing("lost", "1 of 2 kinds of storage: disk (the live database, disk); not in r2 (missing)", REPAIR),
    );
    expect(mark("off_site", bad)).toEqual(missing("lost", "no copy off-site; not in r2 (missing)", REPAIR));
  });

  test("a missing copy at home costs neither", () => {
    const bad = withCopies(copy("disk", { state: "MISSING" }), copy("r2"));
    expect(mark("kinds", bad)["sentence"]).toBe("2 kinds of storage: disk (the live database), bucket (r2)");
    expect(mark("off_site", bad)["state"]).toBe("held");
  });

  test("no storage is off-site", () => {
    expect(mark("off_site", { storages: [DISK, { ...R2, off_site: false }] })).toEqual(
      missing("not_set_up", "no copy off-site", expect.stringContaining("set off_site = true")),
    );
  });
});

describe("1 immutable", () => {
  const probe = (by: ProbeFacts["by"], refused = true) =>
    new Map([["r2", { by, refused, probed_at: ago(3), message: "" }]]);

  test("a lock that has ended is lost since then", () => {
    const ended = withCopies(copy("disk"), copy("r2", { locked_until: ago(1) }));
    expect(mark("immutable", ended)).toEqual(
      missing(
        "lost",
        "no copy is immutable; r2: not locked any more: its lock ended at 2026-11-23 02:00:00 UTC",
        BACKUP,
      ),
    );
    expect(marksOf(ruleFacts(ended))[3]?.lost_at?.toISOString()).toBe(ago(1));
  });

  test("a lock that the storage has not confirmed does not count", () => {
    const sent = withCopies(copy("disk"), copy("r2", { lock_error: "the bucket ignores locks" }));
    expect(mark("immutable", sent)).toEqual(
      missing("lost", "no copy is immutable; r2: not locked: the bucket ignores locks", BACKUP),
    );
    expect(marksOf(ruleFacts(sent))[3]?.lost_at).toBeNull();
  });

  test("a bucket's rule and append-only count only after a refused deletion", () => {
    const stored = withCopies(copy("disk"), copy("r2", { confirmed_at: ago(48) }));
    const rule = (days: number) => ({
      ...stored,
      storages: [
        DISK,
        ruledStorage({ ...(BUCKET as S3StorageConfig), immutable: { by: "bucket-rule", days } }),
      ],
    });
    expect(mark("immutable", { ...rule(7), probes: probe("bucket-rule") })).toMatchObject({
      state: "held",
      sentence: "r2: kept by a rule of the bucket until 2026-11-28 03:00:00 UTC",
    });
    const ended = ruleFacts({ ...rule(1), probes: probe("bucket-rule") });
    expect(marksOf(ended)[3]).toMatchObject({ state: "lost", lost_at: new Date(ago(24)) });
    expect(mark("immutable", rule(7))).toMatchObject({
      state: "lost",
      next_step: "run: pg321 doctor --probe-lock",
    });
    expect(mark("immutable", { ...rule(7), probes: probe("bucket-rule", false) })).toMatchObject({
      state: "lost",
      sentence: expect.stringContaining("a probe object was not protected"),
    });
    const append = {
      ...stored,
      storages: [DISK, ruledStorage({ ...(BUCKET as S3StorageConfig), expire: "provider-lifecycle" })],
    };
    expect(mark("immutable", { ...append, probes: probe("append-only") })["state"]).toBe("held");
    expect(mark("immutable", append)["state"]).toBe("lost");
  });

  test("no storage locks its copies: not set up", () => {
    const none = { storages: [DISK, BUCKET], ...withCopies(copy("disk"), copy("r2")) };
    expect(mark("immutable", none)).toEqual(
      missing(
        "not_set_up",
        "no copy is immutable: no storage is set up to keep its copies",
        "lock the copies of an S3 storage: docs/immutability.md",
      ),
    );
    expect(mark("immutable", { demands: { ...DEMANDS, immutable: 2 } })["state"]).toBe("not_set_up");
  });
});

describe("0 errors", () => {
  const tested = (part: Partial<NonNullable<RuleFacts["test"]>>): Partial<RuleFacts> => ({
    test: {
      outcome: "PASSED",
      finished_at: ago(24),
      error: null,
      backup_id: "1",
      prover: null,
      checks: [],
      ...part,
    },
  });

  test("no test yet is not set up", () => {
    expect(mark("zero_errors", { test: null })).toMatchObject({
      state: "not_set_up",
      sentence: "no restore test has come to a result yet",
      next_step: "restore the newest backups into scratch databases, with: pg321 restore-test",
    });
  });

  test("a test that could not be carried out, with its reason", () => {
    const testError = "the throwaway cluster did not start: no luck";
    const sentence = `the last restore test could not be carried out: ${testError}`;
    expect(mark("zero_errors", { test: null, testError })).toEqual(
      missing("not_set_up", sentence, "remove the cause, then test again, with: pg321 restore-test"),
    );
    expect(mark("zero_errors", { testError })["state"]).toBe("held");
    expect(mark("zero_errors", { ...tested({ finished_at: ago(31 * 24) }), testError })["sentence"]).toBe(
      `the restore test of 2026-10-23 03:00 UTC is older than 30d 00h (rule.restore_test_max_age); ${sentence}`,
    );
  });

  test("a test without counts to compare with is held, and says so", () => {
    const rows = {
      name: "rows",
      is_ok: true,
      expected: null,
      found: "3 rows in 1 table",
      detail: "not recorded",
    };
    expect(mark("zero_errors", tested({ checks: [rows] }))).toMatchObject({
      state: "held",
      sentence:
        "the restore test of 2026-11-22 03:00 UTC found no error, but had no counts from the time of the backup to compare with",
    });
    const counted = { ...rows, expected: "3 rows in 1 table", detail: null };
    expect(mark("zero_errors", tested({ checks: [counted] }))["sentence"]).toEndWith("found no error");
  });

  test("a failed test, with its reason", () => {
    expect(mark("zero_errors", tested({ outcome: "FAILED", error: "1 table differs" }))).toMatchObject({
      state: "lost",
      sentence: "the restore test of 2026-11-22 03:00 UTC failed: 1 table differs",
    });
  });

  test("a test of exactly the longest age still counts, an older one does not", () => {
    expect(mark("zero_errors", tested({ finished_at: ago(30 * 24) }))["state"]).toBe("held");
    const old = ruleFacts(tested({ finished_at: ago(31 * 24) }));
    expect(marksOf(old)[4]).toMatchObject({
      state: "lost",
      sentence: "the restore test of 2026-10-23 03:00 UTC is older than 30d 00h (rule.restore_test_max_age)",
      lost_at: new Date(ago(24)),
    });
  });

  test("a test dated ahead of the clock proves nothing", () => {
    expect(mark("zero_errors", tested({ finished_at: ago(-48) }))["state"]).toBe("lost");
  });
});

test("a database without a good backup has not lost what it never held", () => {
  const never = marksOf(ruleFacts({ backup: null, had: [], test: null }));
  expect(new Set(never.map(({ state }) => state))).toEqual(new Set(["not_set_up"]));
  expect(never[0]).toMatchObject({
    sentence: "there is no good backup yet",
    next_step: "make the first backup, with: pg321 backup",
  });
  const lost = marksOf(ruleFacts({ backup: null }));
  expect(lost.map(({ state }) => state)).toEqual(["lost", "lost", "lost", "lost", "held"]);
});

test("a mark that was never held is not lost because a storage or a setting is new", () => {
  const added = { had: [], ...withCopies(copy("disk")) };
  expect(marksOf(ruleFacts(added)).map(({ state }) => state)).toEqual([
    ...Array(4).fill("not_set_up"),
    "held",
  ]);
  expect(marksOf(ruleFacts({ ...added, had: ["copies"] }))[0]?.state).toBe("lost");
  const failed = { had: [], ...withCopies(copy("disk"), copy("r2", { state: "FAILED" })) };
  expect(
    marksOf(ruleFacts(failed))
      .slice(0, 3)
      .map(({ state }) => state),
  ).toEqual(Array(3).fill("lost"));
  const unlocked = (lock_error: string | null) => ({
    had: [],
    ...withCopies(copy("disk"), copy("r2", { lock_error })),
  });
  expect(mark("immutable", unlocked(null))["state"]).toBe("not_set_up");
  expect(mark("immutable", unlocked("the bucket ignores locks"))["state"]).toBe("lost");
});

test("marks that the config does not demand", () => {
  const demands = { ...DEMANDS, copies: 0, kinds: 0, off_site: 0, immutable: 0, zero_errors: false };
  expect(new Set(marksOf(ruleFacts({ demands, backup: null })).map(({ state }) => state))).toEqual(
    new Set(["not_demanded"]),
  );
});
