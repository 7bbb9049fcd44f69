import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { BackupStatus } from "../../../src/catalog/records.ts";
import { PAGE_STYLE_HASH, pageHistory, pageQuery } from "../../../src/http/page/page.tsx";
import { notifier } from "../../fixtures/notifier-status.ts";
import { pageOf } from "../../fixtures/page-input.ts";
import {
  database,
  freshReport,
  fullReport,
  hoursAgo,
  manyDatabases,
  oddNames,
  run,
  storage,
} from "../../fixtures/status-report.ts";
import { type EndpointLab, endpointLab } from "../../lab/endpoint.ts";
import { backupRecord, copyRecord } from "../../suites/catalog/records.ts";

const BACKUPS = 60;
/** As `toContain`, but the message of a failure does not contain the whole page. */
function expectPart(html: string, part: string): void {
  if (!html.includes(part)) throw new Error(`the page lacks ${part}`);
}

const ODD = "a/b?c&d=<i>é";

describe("of a real catalog", () => {
  let lab: EndpointLab;
  let address: string;
  const get = (search: string) => fetch(`${address}/${search}`);
  const text = async (search: string) => (await get(search)).text();
  /** The short ids in the list of backups, in order. */
  const ids = (html: string) =>
    [...html.slice(html.indexOf('id="history"')).matchAll(/<code>([0-9a-f]{8})<\/code>/g)].map(
      ([, id]) => id,
    );

  beforeAll(async () => {
    lab = await endpointLab();
    ({ address } = await lab.serve());
    const { catalog } = lab.context;
    await catalog.overview.seeDatabases("main", ["app", ODD], "2026-11-01T00:00:00.000Z");
    for (let index = 0; index < BACKUPS; index++) {
      const status: BackupStatus = index % 10 === 9 ? "FAILED" : "VERIFIED";
      const backup = backupRecord({
        id: `${String(index).padStart(8, "0")}-0000-4000-8000-000000000000`,
        database: index % 3 === 0 ? ODD : "app",
        status,
        started_at: new Date(Date.UTC(2026, 10, 1, index)).toISOString(),
        finished_at: new Date(Date.UTC(2026, 10, 1, index, 5)).toISOString(),
        dump_bytes: 2 ** 30 + index,
        error: status === "FAILED" ? "pg_dump: <b>lost</b>" : null,
      });
      await catalog.insertBackup(backup);
      await catalog.putCopy(copyRecord(backup, { state: "CONFIRMED", storage: "disk" }));
    }
  });
  afterAll(() => lab[Symbol.asyncDispose]());

  const numbered = (from: number, to: number) =>
    Array.from({ length: from - to + 1 }, (_, index) => String(from - index).padStart(8, "0"));

  test("is HTML with a policy that allows only its own style sheet", async () => {
    const answer = await get("");
    expect(answer.headers.get("content-type")).toBe("text/html; charset=utf-8");
    const policy = answer.headers.get("content-security-policy");
    expect(policy).toContain("default-src 'none'");
    expect(policy).toContain(`style-src '${PAGE_STYLE_HASH}'`);
    const style = /<style>(.*)<\/style>/s.exec(await answer.text())?.[1] ?? "";
    const hash = new Bun.CryptoHasher("sha256").update(style).digest("base64");
    expect(PAGE_STYLE_HASH).toBe(`sha256-${hash}`);
  });

  test("has 25 backups on a page, newest first, each on one page", async () => {
    expect(ids(await text(""))).toEqual(numbered(59, 35));
    expect(ids(await text("?page=2"))).toEqual(numbered(34, 10));
    expect(ids(await text("?page=3"))).toEqual(numbered(9, 0));
  });

  test("links all pages of backups, and keeps the chosen database", async () => {
    const links = (html: string) =>
      [...html.matchAll(/<a href="([^"]*)" rel="(\w+)"/g)].map(([, to, rel]) => [rel, to]);
    expect(links(await text(""))).toEqual([["next", "./?page=2#history"]]);
    expect(links(await text("?page=2"))).toEqual([
      ["prev", "./#history"],
      ["next", "./?page=3#history"],
    ]);
    expect(links(await text("?page=3"))).toEqual([["prev", "./?page=2#history"]]);
    const ofOne = "./?database=main%2Fapp&amp;page=2&amp;refresh=60#history";
    expect(links(await text("?database=main/app&refresh=60"))).toEqual([["next", ofOne]]);
    expect(links(await text("?page=4"))).toEqual([["prev", "./?page=3#history"]]);
    expectPart(await text("?page=4"), "There are no older backups.");
  });

  test("shows a single database, whatever its name is", async () => {
    const name = encodeURIComponent(`main/${ODD}`);
    const html = await text(`?database=${name}`);
    expect(ids(html)).toEqual(numbered(57, 0).filter((id) => Number(id) % 3 === 0));
    expectPart(html, `href="./?database=${name.replaceAll("%20", "+")}#history"`);
    expect(html.match(/<h3>/g)).toHaveLength(2);
    expectPart(await text("?database=main/nothing"), "There is no such database.");
  });

  test("reads only as many records as it shows", async () => {
    const { catalog, clock, config, host } = lab.context;
    const asked: unknown[] = [];
    const watched = new Proxy(catalog, {
      get(target, name) {
        const value = Reflect.get(target, name);
        if (typeof value !== "function") return value;
        return (...args: unknown[]) => {
          if (name === "backups") asked.push(args[0]);
          return value.apply(target, args);
        };
      },
    });
    const { backups, hasOlder } = await pageHistory(
      { catalog: watched, clock, config, host },
      pageQuery(new URLSearchParams("page=2")),
    );
    expect(asked).toEqual([{ offset: 25, limit: 26, startedBy: expect.any(String) }]);
    expect([backups.length, hasOlder]).toEqual([25, true]);
  });

  test("draws size and duration of the finished backups", async () => {
    const html = await text("?database=main/app");
    expectPart(html, "Size of the last 40 backups");
    expectPart(html, "Duration of the last 40 backups");
    expectPart(html, "from 5m 00s to 5m 00s, newest 5m 00s; 4 failed");
  });

  test("errors are shown as text, not as HTML", async () => {
    const html = await text("?page=2");
    expectPart(html, "pg_dump: &lt;b&gt;lost&lt;/b&gt;");
    expect(html.includes("<b>lost")).toBe(false);
  });

  test("accepts any parameters, and answers with a page", async () => {
    const names = fc.constantFrom("page", "database", "refresh", "format", "x");
    const values = fc.oneof(
      fc.string({ unit: "binary" }),
      fc.integer().map(String),
      fc.constantFrom(
        "0",
        "-1",
        "4000",
        "4001",
        "1e3",
        "99999999999999999999",
        "main/",
        "/",
        "//",
        "main/app",
        "1",
      ),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(names, values), { maxLength: 4 }), async (parameters) => {
        const answer = await get(`?${new URLSearchParams(parameters)}`);
        expect(answer.status).toBe(200);
        expect((await answer.text()).endsWith("</html>\n")).toBe(true);
      }),
      { numRuns: 60 },
    );
    expect((await get("?page=%ff&database=%zz")).status).toBe(200);
  });
});

test.each([
  ["page=0", 1],
  ["page=-1", 1],
  ["page=x", 1],
  ["page=2.5", 1],
  ["page=4001", 1],
  ["page=4000", 4000],
])("the page of ?%s is %d", (search, page) => {
  expect(pageQuery(new URLSearchParams(search)).page).toBe(page);
});

test("reloads by itself only if requested, and shows how to stop that", () => {
  const refresh = /http-equiv="refresh" content="(\d+)"/;
  expect(pageOf(fullReport())).not.toMatch(refresh);
  expect(pageOf(fullReport(), "refresh=1")).not.toMatch(refresh);
  const html = pageOf(fullReport(), "refresh=60&page=2");
  expect(refresh.exec(html)?.[1]).toBe("60");
  expectPart(html, '<a href="./?page=2">Stop reloading every 60 s</a>');
});

test("a name is shown as text, whatever characters it has", () => {
  const evil = [
    "</title><script>alert(1)</script>",
    '" onmouseover="alert(1)',
    "<!--",
    "\u202egnp.exe",
    "\u0000\u001b[2J",
    "🐘".repeat(200),
    "שלום",
    "&lt;",
  ];
  const names = (name: string) => database({ server: name, database: name, state: "failing" });
  const full = fullReport();
  const html = pageOf({
    ...full,
    host: evil[0] ?? "",
    databases: evil.map(names),
    alerts: full.alerts.map((alert) => ({ ...alert, message: evil.join(" "), server: evil[0] ?? "" })),
    storages: full.storages.map((storage) => ({
      ...storage,
      error: evil[0] ?? "",
      location: { path: evil[1] ?? "" },
    })),
    notifiers: [notifier({ name: evil[0] ?? "", error: evil.join(" ") })],
  });
  expect(html.includes("<script")).toBe(false);
  expect(html).not.toMatch(/<[^>]* onmouseover="/);
  expect(html.includes("<!--")).toBe(false);
  expect(html).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u202a-\u202e\u2066-\u2069]/);
  expectPart(html, "שלום");
  expectPart(html, "&amp;lt;");
});

test("problems come first, with all details, however many databases there are", () => {
  const html = pageOf(manyDatabases(500));
  const cards = [...html.matchAll(/<h3><a [^>]*><bdi class="server">main<\/bdi>.*?<bdi>([^<]*)<\/bdi>/g)];
  expect(cards).toHaveLength(48);
  // Each seventh database is failing: 71 of 500. The list of the others is open because some of them are failing.
  expect(cards.every(([, name]) => Number(name?.slice(-4)) % 7 === 6)).toBe(true);
  expect(html).toMatch(/<details open=""><summary>452 more databases<\/summary>/);
  expect(html.includes("not shown here")).toBe(false);
  expectPart(pageOf(manyDatabases(5000)), "4,452 other databases not shown here");
});

test("a notifier that fails is shown with the reason and what waits", () => {
  const html = pageOf(fullReport());
  expectPart(html, "not delivering");
  expectPart(html, "2 notices wait since");
  expectPart(html, "1 notice given up");
  expectPart(html, '<p class="error">status 503</p>');
  expect(pageOf({ ...fullReport(), notifiers: [] }).includes("Notifiers")).toBe(false);
});

test("a storage shows its space in units, and that its min_free is broken", () => {
  const location = { path: "/usb", min_free: String(2 ** 30) };
  const shown = (free_bytes: number) =>
    pageOf({ ...fullReport(), storages: [storage({ location, free_bytes })] });
  const good = shown(400 * 2 ** 30);
  expectPart(good, "local: /usb");
  expectPart(good, "1.0 GiB must stay free");
  expect(good.includes(String(2 ** 30))).toBe(false);
  const broken = shown(2 ** 29);
  expectPart(broken, "<span>below min_free</span>");
  expectPart(broken, "This storage takes no more copies: 512 MiB free, but min_free is 1.0 GiB");
});

test("a run by hand is told apart from a schedule, and one ended by hand is not red", () => {
  const full = fullReport();
  const shown = (schedule: string | null, error: string | null) =>
    pageOf({
      ...full,
      jobs: [
        {
          job: "restore",
          last_run: run({ outcome: "FAILED", schedule, error }),
          last_success_at: null,
          next_run_at: null,
        },
      ],
      schedules: [],
      databases: [],
    });
  expectPart(shown(null, "no room"), '<span class="muted">by hand</span>');
  expectPart(
    shown("restore old", "no room"),
    '<span class="muted">by a schedule that no longer exists</span>',
  );
  const byHand = shown(null, "ended by SIGINT");
  expect(byHand).toMatch(/<span class="state warning">.{0,400}<span>interrupted by hand<\/span>/);
  expect(byHand.includes("ended by SIGINT")).toBe(false);
});

test("the last attempt failed if the server could not be asked since", () => {
  const server_failure = { at: hoursAgo(1), error: "backup of main failed: no answer" };
  const html = pageOf(freshReport({ databases: [database({ state: "failing", server_failure })] }));
  expectPart(html, "Last attempt: backup of main failed: no answer");
  expect(html).toMatch(/<dt>Last attempt<\/dt><dd><span class="state bad">.{0,400}<span>failed<\/span>/s);
});

test("counts have the noun in the right number", () => {
  const full = fullReport();
  const last_run = run({
    statistics: { databases: 1, verified: 1, temporary_files_deleted: 1, copies: 2000 },
  });
  const html = pageOf({
    ...full,
    jobs: [{ job: "backup", last_run, last_success_at: null, next_run_at: null }],
    schedules: [],
  });
  expectPart(html, "1 database · 1 complete · 1 temporary file deleted · 2,000 copies");
});

test("shows the next steps if nothing has happened yet", () => {
  const fresh = pageOf(
    freshReport({
      databases: [
        database({
          state: "never",
          newest_good: null,
          last_attempt: null,
          copies: [],
          first_seen_at: hoursAgo(1),
        }),
      ],
    }),
  );
  expectPart(fresh, "1 database waits for its first backup.");
  expectPart(fresh, "The next scheduled backup starts");
  const empty = pageOf(freshReport({ databases: [], jobs: [], schedules: [] }));
  expectPart(empty, "No database has been found yet.");
  expectPart(empty, "No backup is scheduled.");
  expectPart(empty, "<code>pg321 backup</code>");
});

test("every state, outcome and level is shown as a word", () => {
  const html = pageOf(fullReport());
  for (const word of [
    "stale: newest backup too old",
    "failing: last attempt failed",
    "partial: lacks a copy",
    "no good backup",
    "good",
  ])
    expectPart(html, `<span>${word}</span>`);
  for (const word of ["complete", "partial", "failed", "interrupted", "running", "critical", "warning"])
    expectPart(html, `<span>${word}</span>`);
  for (const text of [
    "nearly full",
    "unreachable",
    "lacks the newest backup",
    "3 runs skipped in a row",
    "37 %",
  ])
    expectPart(html, text);
  expectPart(pageOf(oddNames()), "x".repeat(63));
});
