import { describe, expect, test } from "bun:test";
import { REACHABLE } from "../../test/fixtures/catalog-status.ts";
import { marks } from "../../test/fixtures/marks.ts";
import { notifier } from "../../test/fixtures/notifier-status.ts";
import {
  database,
  freshReport,
  fullReport,
  hoursAgo,
  manyDatabases,
  storage,
} from "../../test/fixtures/status-report.ts";
import type { DatabaseStatus, NotifierStatus, StatusReport } from "./report.ts";
import { statusText } from "./text.ts";
import { verdictOf } from "./verdict.ts";

const never: Partial<DatabaseStatus> = { state: "never", newest_good: null, last_attempt: null, copies: [] };
const attempt = {
  id: "1",
  status: "FAILED",
  started_at: hoursAgo(1),
  finished_at: null,
  error: "lost",
} as const;
const alert = fullReport().alerts[0];

/** A report with one database that has a good backup, changed by `part`. */
const report = (part: Partial<StatusReport>) => freshReport({ databases: [database()], ...part });
const verdict = (part: Partial<StatusReport>) => {
  const { level, sentence } = verdictOf(report(part));
  return `${level}: ${sentence}`;
};

describe("no problem", () => {
  test("a first backup that a person interrupted is no failure", () => {
    const last_attempt = { ...attempt, error: "interrupted by hand" };
    expect(verdict({ databases: [database({ ...never, first_seen_at: hoursAgo(1), last_attempt })] })).toBe(
      "new: 1 database waits for its first backup.",
    );
    expect(verdict({ databases: [database({ ...never, last_attempt: attempt })] })).toStartWith("bad: ");
  });

  test("every database has a recent good backup", () => {
    const two = [database(), database({ database: "crm" })];
    expect(verdict({})).toBe("good: The database has a recent good backup, in 2 storages.");
    expect(verdict({ databases: two })).toBe(
      "good: All 2 databases have a recent good backup, in 2 storages.",
    );
    expect(verdictOf(report({})).problems).toEqual([]);
  });

  test("a new database since the last backup", () => {
    const joined = database({ ...never, database: "crm", first_seen_at: hoursAgo(1) });
    expect(verdict({ databases: [database(), joined] })).toBe(
      "good: The database has a recent good backup, in 2 storages. 1 new database waits for its first backup.",
    );
  });

  test("nothing has happened yet", () => {
    const fresh = database({ ...never, first_seen_at: hoursAgo(1) });
    expect(verdict({ databases: [] })).toBe("new: No database has been found yet.");
    expect(verdict({ databases: [fresh] })).toBe("new: 1 database waits for its first backup.");
  });

  test("a host that only tests backups has none of its own", () => {
    expect(verdict({ databases: [database({ state: "elsewhere", marks: [] })] })).toMatch(
      /: This host only tests backups: 1 database of another installation\.$/,
    );
  });

  test("only a gone database has no recent backup", () => {
    const gone = database({ state: "gone", database: "old" });
    const sentence = "good: The database has a recent good backup, in 2 storages.";
    expect(verdict({ databases: [database(), gone] })).toBe(`${sentence} 1 database is no longer backed up.`);
    expect(verdict({ databases: [database(), gone, gone] })).toBe(
      `${sentence} 2 databases are no longer backed up.`,
    );
  });
});

test("a recovery kit is a problem only if one was made and does not fit any more", () => {
  const made_at = hoursAgo(100);
  expect(verdict({ recovery_kit: { made_at, is_current: true } })).toStartWith("good: ");
  expect(verdict({ recovery_kit: { made_at, is_current: false } })).toBe(
    "warning: The recovery kit is older than a change of storages or keys: make it again.",
  );
});

test.each([
  ["stale", "bad: Database main/app has no recent good backup."],
  ["failing", "bad: The last backup of database main/app failed."],
  ["partial", "warning: The newest good backup of database main/app lacks a copy."],
] as const)("a database that is %s", (state, sentence) => {
  expect(verdict({ databases: [database({ state })] })).toBe(sentence);
});

test("a database that should have its first backup by now", () => {
  const sentence = "bad: Database main/app has no good backup.";
  const seen = (hours: number) =>
    database({ ...never, first_seen_at: hoursAgo(hours), interval_ms: 86_400_000 });
  expect(verdict({ databases: [seen(48)] })).toMatch(/^new/);
  expect(verdict({ databases: [seen(49)] })).toBe(sentence);
  expect(verdict({ databases: [{ ...seen(47), interval_ms: null }] })).toMatch(/^new/);
  expect(verdict({ databases: [{ ...seen(49), interval_ms: null }] })).toBe(sentence);
  expect(verdict({ databases: [database({ ...never, last_attempt: attempt })] })).toBe(sentence);
});

test("three databases are named, more are counted", () => {
  const failing = (count: number) =>
    verdict({
      databases: Array.from({ length: count }, (_, index) =>
        database({ state: "failing", database: `d${index}` }),
      ),
    });
  expect(failing(2)).toBe("bad: The last backups of databases main/d0 and main/d1 failed.");
  expect(failing(3)).toBe("bad: The last backups of databases main/d0, main/d1 and main/d2 failed.");
  expect(failing(4)).toBe(
    "bad: The last backups of databases main/d0, main/d1, main/d2 and 1 other database failed.",
  );
  expect(verdictOf({ ...manyDatabases(10_000), storages: [], notifiers: [], alerts: [] }).sentence).toBe(
    "The last backups of databases main/database-0006, main/database-0013, main/database-0020 and 1,425 other " +
      "databases failed, and 1 more problem.",
  );
});

test.each([
  [{ storages: [storage({ is_reachable: false })] }, "bad: Storage local is unreachable."],
  [
    { catalog: { ...REACHABLE, refused: 2, refused_error: "no record of it" } },
    "warning: The catalog refused 2 records of this host (no record of it): pg321 catalog refused lists them, docs/fleet.md says what to do.",
  ],
  [{ storages: [storage({ free_bytes: 99, total_bytes: 1000 })] }, "warning: Storage local is nearly full."],
  [
    { storages: [storage({ free_bytes: 100, total_bytes: 1000 })] },
    "good: The database has a recent good backup, in 1 storage.",
  ],
  [
    { storages: [storage({ free_bytes: 0, total_bytes: 0 })] },
    "good: The database has a recent good backup, in 1 storage.",
  ],
  [{ daemon: null }, "warning: The daemon does not answer."],
] as [Partial<StatusReport>, string][])("%j", (part, sentence) => {
  expect(verdict(part)).toBe(sentence);
});

test("an open alert, unless it is acknowledged or has the level INFO", () => {
  if (!alert) throw new Error("the full report has alerts");
  const open = { ...alert, acknowledged_at: null };
  expect(verdict({ alerts: [open] })).toBe("bad: 1 critical alert is open.");
  expect(verdict({ alerts: [open, open] })).toBe("bad: 2 critical alerts are open.");
  expect(verdict({ alerts: [{ ...open, level: "WARNING" }] })).toBe("warning: 1 warning alert is open.");
  expect(verdict({ alerts: [{ ...open, level: "INFO" }] })).toMatch(/^good/);
  expect(verdict({ alerts: [{ ...open, acknowledged_at: hoursAgo(1) }] })).toMatch(/^good/);
});

test("a database that is no longer on its server, until somebody acknowledges that", () => {
  if (!alert) throw new Error("the full report has alerts");
  const gone = (database: string) =>
    ({
      ...alert,
      level: "WARNING",
      acknowledged_at: null,
      server: "main",
      database,
      key: `gone main/${database}`,
    }) as const;
  expect(verdict({ alerts: [gone("old")] })).toBe("warning: Database main/old is no longer on its server.");
  expect(verdict({ alerts: [gone("old"), gone("odd")] })).toBe(
    "warning: Databases main/old and main/odd are no longer on their server.",
  );
  expect(verdict({ alerts: [{ ...gone("old"), acknowledged_at: hoursAgo(1) }] })).toMatch(/^good/);
});

test("a refused config", () => {
  const { daemon } = freshReport();
  if (!daemon) throw new Error("the fresh report has a daemon");
  const refused = { at: hoursAgo(1), is_ok: false, errors: ["missing"] };
  expect(verdict({ daemon: { ...daemon, last_reload: refused } })).toBe(
    "warning: The changed config was refused; the previous config stays in force.",
  );
  expect(verdict({ daemon: { ...daemon, last_reload: { ...refused, is_ok: true } } })).toMatch(/^good/);
});

test("a name or pattern without a database is named, and stays in the sentence once it is acknowledged", () => {
  const idle = (written: string, acknowledged_at: string | null) =>
    alert && {
      ...alert,
      ...{ level: "WARNING" as const, key: `pattern server main ${written}`, server: null, database: null },
      message: `"${written}" in databases of the server "main" matches no database`,
      acknowledged_at,
    };
  const having = (...alerts: ReturnType<typeof idle>[]) =>
    verdict({ alerts: alerts.flatMap((one) => one ?? []) });
  expect(having(idle("a*", null))).toBe(
    'warning: "a*" in databases of the server "main" matches no database.',
  );
  expect(having(idle("a*", null), idle("b", null))).toBe(
    "warning: 2 names or patterns in the config match no database.",
  );
  expect(having(idle("a*", hoursAgo(1)))).toBe(
    'good: The database has a recent good backup, in 2 storages. "a*" in databases of the server "main" matches no database.',
  );
});

test("notices that cannot be delivered are a problem, with the reason", () => {
  const having = (change: Partial<NotifierStatus>) => verdict({ notifiers: [notifier(), notifier(change)] });
  expect(having({ waiting: 3 })).toStartWith("good: ");
  expect(having({ waiting: 1, error: "status 503" })).toBe(
    "warning: 1 notice to notifier mail could not be delivered: status 503.",
  );
  expect(having({ given_up: 2, error: "status 404" })).toBe(
    "warning: 2 notices to notifier mail could not be delivered: status 404.",
  );
});

test("the worst comes first, and the sentence counts the rest", () => {
  const { level, sentence, problems } = verdictOf(fullReport());
  expect({ level, sentence }).toEqual({
    level: "bad",
    sentence: "Database main/new has no good backup, and 9 more problems.",
  });
  expect(problems.map((problem) => problem.level)).toEqual([
    ...Array(5).fill("bad"),
    ...Array(5).fill("warning"),
  ]);
});

describe("lost marks of 3-2-1-1-0", () => {
  test("are a warning, those that are not set up or not demanded are not", () => {
    expect(verdict({ databases: [database({ marks: marks("hhlhl") })] })).toBe(
      "warning: Database main/app has lost 2 marks of 3-2-1-1-0: 1 off-site, 0 errors.",
    );
    const two = ["app", "crm"].map((name) => database({ database: name, marks: marks("hhhlh") }));
    expect(verdict({ databases: two })).toBe(
      "warning: Databases main/app and main/crm have lost 1 mark of 3-2-1-1-0: 1 immutable.",
    );
    expect(verdict({ databases: [database({ marks: marks("hhhnd") })] })).toStartWith("good: ");
  });

  test("are not said twice: by the state of the database, nor by their alert", () => {
    const partial = database({ state: "partial", marks: marks("lhhnn") });
    expect(verdictOf(report({ databases: [partial] })).problems).toHaveLength(1);
    const ruleAlert = alert && { ...alert, key: "rule main/app", level: "WARNING" as const };
    const lost = { databases: [database({ marks: marks("hhlnn") })], alerts: ruleAlert ? [ruleAlert] : [] };
    expect(verdictOf(report(lost)).problems.map(({ text }) => text)).toEqual([
      "database main/app has lost 1 mark of 3-2-1-1-0: 1 off-site",
    ]);
  });

  test("an alert that another one explains is counted beside it, and not as acknowledged", () => {
    const cause = alert && { ...alert, acknowledged_at: null };
    const quiet = alert && { ...alert, key: "rule main/app", level: "WARNING" as const, has_cause: true };
    if (!cause || !quiet) throw new Error("the fixture has an alert");
    const both = report({ alerts: [cause, { ...quiet, acknowledged_at: hoursAgo(1) }] });
    expect(verdictOf(both).problems.map(({ text }) => text)).toEqual([
      "1 critical alert is open (and 1 more with the same cause)",
    ]);
    expect(statusText(both)).toMatch(/ WARNING .* with its cause {2}/);
  });

  test("are unknown to an older daemon", () => {
    const { marks: _, ...older } = database();
    expect(verdict({ databases: [older as DatabaseStatus] })).toStartWith("good: ");
  });
});
