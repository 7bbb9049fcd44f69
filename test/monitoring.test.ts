import { describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { chmod, cp, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { YAML } from "bun";
import { DATABASE_SERIES_MAX } from "../src/base/limits.ts";
import { silentLog } from "../src/base/log.ts";
import { ALL_METRICS, type MetricDefinition } from "../src/http/metrics/list.ts";
import { renderMetrics } from "../src/http/metrics/metrics.ts";
import type { StatusReport } from "../src/status/report.ts";
import { freshReport, fullReport, NOW } from "./fixtures/status-report.ts";
import { rowsOf } from "./lab/cli-docs.ts";
import { promtool } from "./lab/machine/promtool.ts";
import { scrapeOf } from "./lab/scrape.ts";

interface Rule {
  alert: string;
  expr: string;
  labels: Record<string, string>;
  annotations: Record<string, string>;
}

interface Target {
  expr: string;
  datasource: { uid: string };
}

interface Panel {
  id: number;
  type: string;
  title: string;
  description?: string;
  gridPos: { x: number; y: number; w: number; h: number };
  fieldConfig?: { defaults: { unit?: string } };
  targets?: Target[];
}

const ROOT = join(import.meta.dir, "..");
const MONITORING = join(ROOT, "monitoring");
const DEFINITIONS: Record<string, MetricDefinition> = ALL_METRICS;

const rulesFile = await read("pg321.rules.yml");
const caseFile = await read("pg321.rules.test.yml");
const { groups } = YAML.parse(rulesFile) as { groups: { name: string; rules: Rule[] }[] };
const RULES = groups.flatMap(({ rules }) => rules);
const DASHBOARD = JSON.parse(await read("grafana-dashboard.json"));
const PANELS: Panel[] = DASHBOARD.panels;
const EXPRESSIONS = [
  ...PANELS.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr)),
  ...DASHBOARD.templating.list.flatMap(
    ({ definition }: { definition?: string }) =>
      /^label_values\((.*), \w+\)$/.exec(definition ?? "")?.[1] ?? [],
  ),
];
const DOCS = await Bun.file(join(ROOT, "docs/metrics.md")).text();

function read(name: string): Promise<string> {
  return Bun.file(join(MONITORING, name)).text();
}

/** Runs something on a copy of `monitoring/`, to which more files may be added. */
async function inCopy<T>(use: (directory: string) => Promise<T>): Promise<T> {
  const directory = await mkdtemp(join(tmpdir(), "pg321-monitoring-"));
  try {
    await cp(MONITORING, directory, { recursive: true });
    return await use(directory);
  } finally {
    await rm(directory, { recursive: true });
  }
}

/** The metrics in an expression, with the labels by which it selects. */
function selectorsOf(expression: string): { name: string; labels: string[] }[] {
  const pattern = /\b((?:pg321|process)_\w+)\b(?:\{([^}]*)\})?/g;
  return [...expression.matchAll(pattern)].flatMap(([, name = "", matchers = ""]) => {
    if (name === "pg321_job") return [];
    return [
      { name, labels: [...matchers.matchAll(/(\w+)\s*(?:=~|!~|!=|=)/g)].map(([, label = ""]) => label) },
    ];
  });
}

/** The metrics and labels in an expression that are not exported. */
function unknownIn(expression: string): string[] {
  return selectorsOf(expression).flatMap(({ name, labels }) => {
    const definition = DEFINITIONS[name];
    if (!definition) return [name];
    const known = ["job", "instance", ...definition.labels];
    return labels.filter((label) => !known.includes(label)).map((label) => `${name}{${label}}`);
  });
}

describe("promtool", () => {
  test("accepts the rules", async () => {
    const { exitCode, output } = await promtool(["check", "rules", "--lint-fatal", "pg321.rules.yml"], {
      cwd: MONITORING,
    });
    expect(output).toContain(`SUCCESS: ${RULES.length} rules found`);
    expect(exitCode).toBe(0);
  });

  test("sees each rule fire and stay quiet as its test cases say", async () => {
    const { exitCode, output } = await promtool(["test", "rules", "pg321.rules.test.yml"], {
      cwd: MONITORING,
    });
    expect(output).toContain("SUCCESS");
    expect(exitCode).toBe(0);
  });

  test("accepts the scrape example", async () => {
    await inCopy(async (directory) => {
      await Bun.write(join(directory, "pg321.token"), "a token of some length");
      await chmod(join(directory, "pg321.token"), 0o400);
      const { exitCode, output } = await promtool(["check", "config", join(directory, "prometheus.yml")]);
      expect(output).toContain("prometheus.yml is valid prometheus config file syntax");
      expect(exitCode).toBe(0);
    });
  });

  test("can parse every expression of the dashboard", async () => {
    await inCopy(async (directory) => {
      const rules = EXPRESSIONS.map((expression, index) => ({
        record: `panel:${index}`,
        expr: expression.replaceAll("$__rate_interval", "5m").replaceAll(/\$\w+/g, ".*"),
      }));
      const file = join(directory, "panels.yml");
      await Bun.write(file, JSON.stringify({ groups: [{ name: "panels", rules }] }));
      const { exitCode, output } = await promtool(["check", "rules", file]);
      expect(output).toContain(`SUCCESS: ${EXPRESSIONS.length} rules found`);
      expect(exitCode).toBe(0);
    });
  });
});

describe("the alert rules", () => {
  test.each(RULES.map((rule) => [rule.alert, rule] as const))(
    "%s says who, what and what to do",
    (_, rule) => {
      expect(rule.alert).toMatch(/^Pg321[A-Z][A-Za-z]+$/);
      expect(["critical", "warning"]).toContain(rule.labels["severity"] ?? "");
      const { summary = "", description = "", runbook = "" } = rule.annotations;
      expect(summary).not.toBe("");
      expect(summary).not.toEndWith(".");
      expect(description).toEndWith(".");
      expect(runbook).toBe(`docs/metrics.md#${rule.alert.toLowerCase()}`);
      expect(unknownIn(rule.expr)).toEqual([]);
    },
  );

  test("have a section each in the docs, in their order", () => {
    const [, runbook = ""] = DOCS.split("## Alerts\n");
    const sections = [...runbook.matchAll(/^### (\w+)$/gm)].map(([, name]) => name);
    expect(sections).toEqual(RULES.map(({ alert }) => alert));
  });

  test("have a test case each in which they fire, and cases check moments in which they must not fire", () => {
    const fired = new Set(
      [...caseFile.matchAll(/alertname="(Pg321\w+)"}?[^}]*}?', value/g)].map(([, name]) => name),
    );
    expect([...fired].sort()).toEqual(RULES.map(({ alert }) => alert).sort());
    const { tests } = YAML.parse(caseFile) as {
      tests: { name: string; promql_expr_test: { exp_samples: unknown[] }[] }[];
    };
    for (const { name, promql_expr_test } of tests)
      expect({ name, first: promql_expr_test[0]?.exp_samples }).toEqual({ name, first: [] });
    expect(caseFile.split("\n").flatMap((line) => (line.includes("series:") ? unknownIn(line) : []))).toEqual(
      [],
    );
  });

  // Runs the rules on the real metrics of the program, as if they stayed unchanged.
  test("are quiet on a new installation", async () => {
    expect(await firing(freshReport(), "1h30m")).toEqual([]);
  });

  test("fire for a recovery kit that is older than a change of storages or keys", async () => {
    const recovery_kit = { made_at: NOW, is_current: false };
    expect(await firing(freshReport({ recovery_kit }), "1h30m")).toEqual(["Pg321RecoveryKitOutdated"]);
  });

  test("fire for the problems, and for nothing else", async () => {
    expect(await firing(fullReport(), "2h10m")).toEqual([
      ...["Pg321AlertCritical", "Pg321BackupFailed crm", "Pg321BackupFailed legacy"],
      ...["Pg321BackupPartial billing", "Pg321CleanupFailed cleanup", "Pg321ConfigReloadFailed"],
      ...["Pg321NeverBackedUp new", "Pg321NoGoodBackup new", "Pg321NotifierFailing"],
      ...["Pg321RestoreUnproven legacy", "Pg321RuleLost billing", "Pg321RuleLost legacy"],
      "Pg321ScheduleSkipping backup",
      ...["Pg321StorageNearlyFull local", "Pg321StorageUnreachable r2", "Pg321VerifyFailed verify"],
    ]);
  });
});

/** The alerts that fire some time after a scrape, with their subjects. */
async function firing(report: StatusReport, after: string): Promise<string[]> {
  const source = { runTotals: [], backupStorages: ["local", "r2"], log: silentLog };
  const scrape = scrapeOf(await renderMetrics(report, source));
  const target = { job: "pg321", instance: "db1" };
  const input_series = [...scrape.series, { name: "up", labels: {}, value: 1 }].map(
    ({ name, labels, value }) => {
      const all = Object.entries({ ...target, ...labels }).map(
        ([label, text]) => `${label}=${JSON.stringify(text)}`,
      );
      // For promtool, time begins at 0.
      const shown = /timestamp|start_time/.test(name) ? value - Date.parse(NOW) / 1000 : value;
      return { series: `${name}{${all.join(",")}}`, values: `${shown}x50` };
    },
  );
  const by = "count by (alertname, database, storage, pg321_job)";
  // The test case fails on purpose, because promtool then prints the alerts that fire.
  const look = {
    expr: `${by} (ALERTS{alertstate="firing"})`,
    eval_time: after,
    exp_samples: [{ labels: "{}", value: -1 }],
  };
  const cases = { interval: "5m", input_series, promql_expr_test: [look] };
  const content = { rule_files: ["pg321.rules.yml"], evaluation_interval: "5m", tests: [cases] };
  const { output } = await inCopy(async (directory) => {
    await Bun.write(join(directory, "scrape.test.yml"), JSON.stringify(content));
    return await promtool(["test", "rules", "scrape.test.yml"], { cwd: directory });
  });
  const got = /got:\s*(.*)/s.exec(output)?.[1];
  if (got === undefined) throw new Error(output);
  return [...got.matchAll(/\{([^}]*)\}/g)]
    .map(([, labels = ""]) => {
      const values = [...labels.matchAll(/(\w+)="([^"]*)"/g)].map(([, label, value]) => [label, value]);
      const { alertname, ...about } = Object.fromEntries(values);
      return [alertname, ...Object.values(about)].join(" ");
    })
    .sort();
}

describe("the dashboard", () => {
  test("has a title, a description, a unit and a data source for every panel", () => {
    const panels = PANELS.filter(({ type }) => type !== "row");
    expect(panels.length).toBeGreaterThan(20);
    for (const { title, description, fieldConfig, targets = [] } of panels) {
      expect({ title, said: Boolean(title && description) }).toEqual({ title, said: true });
      expect({ title, unit: typeof fieldConfig?.defaults.unit }).toEqual({ title, unit: "string" });
      expect(targets.length).toBeGreaterThan(0);
      for (const { datasource } of targets) expect(datasource.uid).toBe("$" + "{datasource}");
    }
    expect(new Set(PANELS.map(({ id }) => id)).size).toBe(PANELS.length);
  });

  test("has panels that do not overlap", () => {
    const taken = new Set<string>();
    for (const { title, gridPos } of PANELS) {
      expect(gridPos.x + gridPos.w).toBeLessThanOrEqual(24);
      for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++)
        for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
          expect({ title, free: !taken.has(`${x} ${y}`) }).toEqual({ title, free: true });
          taken.add(`${x} ${y}`);
        }
    }
  });

  test("queries only exported metrics, with its own variables", () => {
    expect(EXPRESSIONS.flatMap(unknownIn)).toEqual([]);
    const names = DASHBOARD.templating.list.map(({ name }: { name: string }) => name);
    expect(names).toEqual(["datasource", "job", "instance", "server", "database"]);
    const used = JSON.stringify(PANELS).matchAll(/\$\{?([a-z_]+)/g);
    expect([...new Set([...used].map(([, name = ""]) => name))].sort()).toEqual(
      ["__rate_interval", ...names].sort(),
    );
  });
});

describe("the documents", () => {
  test("docs/metrics.md lists every metric with its type, labels and meaning", () => {
    const [list = ""] = DOCS.split("## Alerts\n");
    const rows = rowsOf(list).map(([name = "", type = "", labels = "", unit = "", meaning = ""]) => {
      return { name: name.replaceAll("`", ""), type, labels: labels.replaceAll("`", ""), unit, meaning };
    });
    const expected = Object.entries(DEFINITIONS).map(([name, { type, labels, help }]) => {
      return { name, type, labels: labels.join(", "), unit: unitOf(name, help), meaning: help };
    });
    const byName = (a: { name: string }, b: { name: string }) => (a.name < b.name ? -1 : 1);
    expect(rows.sort(byName)).toEqual(expected.sort(byName));
  });

  test("docs/metrics.md has the maximum number of series", async () => {
    const source = { runTotals: [], backupStorages: ["local", "r2"], log: silentLog };
    const { series } = scrapeOf(await renderMetrics(fullReport(), source));
    const ofApp = series.filter(({ labels }) => labels["database"] === "app");
    const inStorage = ofApp.filter(({ labels }) => labels["storage"] === "r2").length;
    const alone = ofApp.filter(({ labels }) => labels["storage"] === undefined).length;
    const said = DOCS.replaceAll(/\s+/g, " ");
    expect(said).toContain(`One database has up to ${alone} series and ${inStorage} in each storage`);
    expect(said).toContain(`At most ${DATABASE_SERIES_MAX.toLocaleString("en")} are exported`);
    const most = Math.floor(DATABASE_SERIES_MAX / (alone + 3 * inStorage));
    expect(said).toContain(`with three storages that is ${most} databases`);
  });

  test("link only to existing files", async () => {
    for (const path of ["monitoring/README.md", "docs/metrics.md"]) {
      const text = await Bun.file(join(ROOT, path)).text();
      for (const [, target = ""] of text.matchAll(/\]\(([^)#:]+)(?:#[^)]*)?\)/g))
        expect({ target, isThere: existsSync(join(ROOT, dirname(path), target)) }).toEqual({
          target,
          isThere: true,
        });
    }
  });
});

function unitOf(name: string, help: string): string {
  if (name.endsWith("_timestamp_seconds") || name === "process_start_time_seconds") return "Unix time, s";
  if (/_seconds(_total)?$/.test(name)) return "s";
  if (name.endsWith("_bytes")) return "bytes";
  if (name.endsWith("_ratio")) return "0 to 1";
  return /Whether|always 1|: 1 for/.test(help) ? "0 or 1" : "count";
}
