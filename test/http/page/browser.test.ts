import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { pagePolicy, secured } from "../../../src/http/answer.ts";
import { PAGE_STYLE_HASH } from "../../../src/http/page/page.tsx";
import type { StatusReport } from "../../../src/status/report.ts";
import { fleetOf } from "../../fixtures/fleet-report.ts";
import { backupPageOf, fleetPageOf, pageOf, yearOf } from "../../fixtures/page-input.ts";
import {
  database,
  freshReport,
  fullReport,
  manyDatabases,
  NOW,
  oddNames,
  run,
} from "../../fixtures/status-report.ts";
import { endpointLab } from "../../lab/endpoint.ts";
import { accessibility, type Box, BrowserLab, type Sight } from "../../lab/machine/browser.ts";
import { backupRecord, copyRecord } from "../../suites/catalog/records.ts";

/** Pages with everything that the page can show, by path. */
const PAGES: Record<string, string> = {
  "/full": pageOf(fullReport()),
  "/fresh": pageOf(freshReport()),
  "/empty": pageOf(freshReport({ databases: [], jobs: [], schedules: [], storages: [] })),
  "/good": pageOf(freshReport({ databases: [database()] })),
  "/odd": pageOf(oddNames()),
  "/many": pageOf(manyDatabases(100)),
  "/errors": pageOf(longErrors()),
  "/one": pageOf(fullReport(), "database=main/app&page=3"),
  "/year": pageOf(freshReport({ databases: [database()] }), "database=main/app", {
    year: yearOf(freshReport()),
  }),
  "/backup": backupPageOf(fullReport()),
  "/fleet": fleetPageOf(fleetOf()),
};

/** A job and a schedule with a long error that has no spaces. */
function longErrors(): StatusReport {
  const error = `storage "r2": ${"put-backup_app.dump.zst.enc:".repeat(12)}`;
  const last_run = run({ outcome: "FAILED", error });
  const full = fullReport();
  const [job, schedule] = [full.jobs[0], full.schedules[0]];
  return freshReport({
    jobs: job ? [{ ...job, last_run }] : [],
    schedules: schedule ? [{ ...schedule, last_run: { ...last_run, id: "x", schedule: "backup" } }] : [],
  });
}
const PATHS = Object.keys(PAGES);
const PHONE = 320;
const LOOKS = [{ colorScheme: "light" }, { colorScheme: "dark", width: PHONE }] as const;

let browser: BrowserLab;
let server: ReturnType<typeof Bun.serve>;
/** The addresses that were requested from the server. */
const served: string[] = [];
const address = (path: string) => `http://127.0.0.1:${server.port}${path}`;

beforeAll(async () => {
  const headers = {
    "content-type": "text/html; charset=utf-8",
    "content-security-policy": pagePolicy(PAGE_STYLE_HASH),
  };
  server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch({ url }) {
      served.push(url);
      return secured(new Response(PAGES[new URL(url).pathname] ?? "", { headers }));
    },
  });
  browser = await BrowserLab.open();
});
afterAll(async () => {
  await browser[Symbol.asyncDispose]();
  await server.stop(true);
});

async function openDetails({ page }: Sight): Promise<void> {
  await page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true");
}

const numberOf = ({ page }: Sight, expression: string) => page.evaluate<number>(expression);

test("the name of a job is not squashed beside a long error", async () => {
  await using sight = await browser.look(address("/errors"));
  for (const width of [768, 1024, 1280]) {
    await sight.page.setViewportSize({ width, height: 800 });
    const heights = await sight.page.evaluate<
      number[]
    >(`[...document.querySelectorAll("[aria-labelledby=work] tbody th")]
      .map((one) => { const range = document.createRange(); range.selectNodeContents(one); return range.getClientRects().length; })`);
    expect(heights).toEqual([1, 1]);
  }
});

describe.each(PATHS)("%s", (path) => {
  test("loads nothing but itself, and violates no rule of its policy", async () => {
    await using sight = await browser.look(address(path));
    expect(sight.requests).toEqual([address(path)]);
    expect(sight.complaints).toEqual([]);
  });

  test("is complete HTML: a doctype, a language, a title, one first-level heading, no level skipped", async () => {
    await using sight = await browser.look(address(path));
    const { page } = sight;
    expect(await page.evaluate<string>("document.doctype.name + document.compatMode")).toBe("htmlCSS1Compat");
    expect(await page.getAttribute("html", "lang")).toBe("en");
    expect(await page.title()).toContain(path === "/fleet" ? "pg321 on all hosts" : "pg321 on db1");
    expect(await page.locator("h1").count()).toBe(1);
    expect(await page.locator("script, [style], [onclick], iframe, img, link").count()).toBe(0);
    const ids = await page.evaluate<string[]>("[...document.querySelectorAll('[id]')].map(({ id }) => id)");
    expect(new Set(ids).size).toBe(ids.length);
  });

  test("does not scroll sideways, and cuts nothing off, on a phone and on a desktop", async () => {
    await using sight = await browser.look(address(path));
    for (const width of [PHONE, 390, 768, 1280]) {
      await sight.page.setViewportSize({ width, height: 800 });
      expect(await numberOf(sight, "document.documentElement.scrollWidth")).toBe(width);
      const outside = await sight.page.evaluate<string[]>(`[...document.querySelectorAll("main *")]
        .filter((one) => one.closest("thead") === null && one.getBoundingClientRect().right > ${width} + 1)
        .map((one) => one.outerHTML.slice(0, 80))`);
      expect(outside).toEqual([]);
    }
  });

  test("is accessible, in light and wide form, and in dark and narrow form", async () => {
    for (const look of path === "/many" ? [LOOKS[0]] : LOOKS) {
      await using sight = await browser.look(address(path), { ...look, ignorePolicy: true });
      if (path !== "/many") await openDetails(sight);
      const { violations, passes } = await accessibility(sight);
      expect(violations).toEqual([]);
      expect(passes).toContain("color-contrast");
      expect(passes).toContain("document-title");
    }
  });

  test("shows the same if scripts are disabled", async () => {
    await using on = await browser.look(address(path));
    await using off = await browser.look(address(path), { javaScript: false });
    expect(await off.page.innerText("body")).toBe(await on.page.innerText("body"));
    expect(await off.page.isVisible("h1")).toBe(true);
  });
});

test("the accessibility check finds problems", async () => {
  await using sight = await browser.look(address("/good"), { ignorePolicy: true });
  await sight.page.evaluate(`document.body.insertAdjacentHTML("beforeend",
    '<main><img src="data:,"><p style="color: #ccc; background: #fff">too pale</p></main>')`);
  const { violations } = await accessibility(sight);
  expect(violations.join("\n")).toContain("image-alt: img");
  expect(violations.join("\n")).toMatch(/color-contrast: .*> p$/m);
});

test("the policy refuses any style, script and image that is not the page's own", async () => {
  await using sight = await browser.look(address("/good"));
  await sight.page.evaluate(`document.body.insertAdjacentHTML("beforeend",
    '<style>body { display: none }</style><p style="color: red">x</p><img src="/picture" alt="">')`);
  await sight.page.waitForFunction("document.images[0].complete");
  expect(await sight.page.isVisible("h1")).toBe(true);
  expect(sight.complaints.filter((one) => /style-src|img-src/.test(one)).length).toBeGreaterThanOrEqual(3);
  expect(served).not.toContain(address("/picture"));
});

test.each(["light", "dark"] as const)("its charts are drawn in %s colours", async (colorScheme) => {
  for (const width of [PHONE, 1280]) {
    await using sight = await browser.look(address("/full"), { colorScheme, width });
    const [pictures, shapes] = [
      await boxes(sight, ".spark svg, .bar"),
      await boxes(sight, ".state > .shape"),
    ];
    expect(pictures.length).toBeGreaterThanOrEqual(10);
    expect(shapes.length).toBeGreaterThan(60);
    for (const box of pictures) expect(Math.min(box.width / 80, box.height / 8)).toBeGreaterThanOrEqual(1);
    const shown = [...pictures, ...shapes];
    const drawn = await browser.drawn(await sight.page.screenshot({ fullPage: true }), shown);
    for (const [index, pixels] of drawn.entries())
      expect(pixels).toBeGreaterThan(index < pictures.length ? 60 : 30);
  }
});

async function boxes({ page }: Sight, selector: string): Promise<Box[]> {
  return page.evaluate<Box[]>(`[...document.querySelectorAll(${JSON.stringify(selector)})]
    .filter((one) => one.checkVisibility())
    .map((one) => one.getBoundingClientRect())
    .map(({ left, top, width, height }) => ({ left: left + scrollX, top: top + scrollY, width, height }))`);
}

test("500 databases with long names fit a phone and a desktop", async () => {
  PAGES["/crowd"] = pageOf(manyDatabases(500, "ein_sehr_langer_name_ohne_leerzeichen_".repeat(2)));
  await using sight = await browser.look(address("/crowd"));
  for (const width of [390, 1280]) {
    await sight.page.setViewportSize({ width, height: 800 });
    expect(await numberOf(sight, "document.documentElement.scrollWidth")).toBe(width);
  }
  expect(
    await numberOf(
      sight,
      "document.querySelectorAll('[aria-labelledby=databases] :is(.card h3, .brief li)').length",
    ),
  ).toBe(500);
});

test.each(["light", "dark"] as const)(
  "its calendar has 365 days and is drawn in %s colours",
  async (colorScheme) => {
    for (const width of [390, 1280]) {
      await using sight = await browser.look(address("/year"), { colorScheme, width });
      expect(await numberOf(sight, "document.querySelectorAll('.calendar .day').length")).toBe(365);
      const [calendar] = await boxes(sight, ".calendar svg");
      expect(calendar?.width).toBeGreaterThan(300);
      const [pixels] = await browser.drawn(
        await sight.page.screenshot({ fullPage: true }),
        calendar ? [calendar] : [],
      );
      expect(pixels).toBeGreaterThan(3000);
      // A failed day has a mark of its own, so that its colour is not needed.
      expect(await numberOf(sight, "document.querySelectorAll('.day.bad path').length")).toBeGreaterThan(3);
    }
  },
);

test("a chart rises with its values, and marks failed backups", async () => {
  await using sight = await browser.look(address("/good"));
  const spark = sight.page.locator(".spark svg").first();
  const curve = (await spark.locator(".curve").getAttribute("d")) ?? "";
  const heights = [...curve.matchAll(/ ([\d.]+)/g)].map(([, y]) => Number(y));
  expect(heights.length).toBeGreaterThan(40);
  // The vertical axis points down.
  expect(heights.at(-1)).toBeLessThan(heights[0] ?? 0);
  expect((await spark.locator(".failure").getAttribute("d"))?.match(/M/g)).toHaveLength(48 - heights.length);
  expect(await spark.locator("title").textContent()).toBe("Size of the last 48 backups");
  expect(await spark.locator("desc").textContent()).toMatch(
    /from 5\.\d GiB to .* GiB, newest .* GiB; 2 failed$/,
  );
});

test("no state is shown by its colour alone", async () => {
  await using sight = await browser.look(address("/full"));
  for (const state of await sight.page.locator(".state").all()) {
    expect((await state.textContent())?.trim()).not.toBe("");
    expect(await state.locator("svg.shape > *").count()).toBeGreaterThan(0);
  }
});

test.each(["light", "dark"] as const)("the keyboard focus is visible in %s colours", async (colorScheme) => {
  await using sight = await browser.look(address("/full"), { colorScheme });
  const { page } = sight;
  await openDetails(sight);
  const links = await page.locator("a, summary").count();
  const focused = new Set<number>();
  for (let link = 0; link < links; link++) {
    await page.keyboard.press("Tab");
    const { outline, index } = await page.evaluate<{ outline: string; index: number }>(`(() => {
      const { outlineWidth, outlineStyle } = getComputedStyle(document.activeElement);
      const index = [...document.querySelectorAll("a, summary")].indexOf(document.activeElement);
      return { outline: outlineWidth + " " + outlineStyle, index };
    })()`);
    expect({ outline, index }).toEqual({ outline: "3px solid", index });
    focused.add(index);
  }
  expect(focused.has(-1)).toBe(false);
  expect(focused.size).toBe(links);
});

test("tables stay tables for a screen reader, even on a phone, where they do not look like tables", async () => {
  const roles = async (width: number) => {
    await using sight = await browser.look(address("/full"), { width });
    const session = await sight.page.context().newCDPSession(sight.page);
    const { nodes } = await session.send("Accessibility.getFullAXTree");
    const named = nodes.filter(({ ignored }) => !ignored).map(({ role }) => String(role?.value));
    return ["table", "row", "columnheader", "rowheader", "cell"].map(
      (name) => `${name} ${named.filter((one) => one === name).length}`,
    );
  };
  expect(await roles(PHONE)).toEqual(await roles(1280));
  expect((await roles(PHONE)).slice(0, 3)).toEqual(["table 2", "row 35", "columnheader 11"]);
});

test("the daemon's endpoint serves the same page", async () => {
  await using lab = await endpointLab();
  const backup = backupRecord({
    status: "VERIFIED",
    finished_at: "2026-01-01T00:05:00.000Z",
    dump_bytes: 1e9,
  });
  await lab.context.catalog.insertBackup(backup);
  await lab.context.catalog.putCopy(copyRecord(backup, { state: "CONFIRMED", storage: "disk" }));
  await lab.context.catalog.overview.seeDatabases("main", ["app"], "2026-01-01T00:00:00.000Z");
  const { address: endpoint } = await lab.serve();
  await using sight = await browser.look(`${endpoint}/`);
  expect(sight.requests).toEqual([`${endpoint}/`]);
  expect(sight.complaints).toEqual([]);
  expect(await sight.page.textContent("h1")).toStartWith("Database main/app has no recent good backup");
  await sight.page.getByRole("link", { name: "main/app" }).first().click();
  expect(sight.page.url()).toBe(`${endpoint}/?database=main%2Fapp#history`);
  await sight.page.getByRole("link", { name: "Show all databases" }).click();
  await sight.page.getByRole("link", { name: "status as text" }).click();
  expect(await sight.page.textContent("body")).toContain("main/app");
  expect(sight.complaints).toEqual([]);
});

test("light and dark have different backgrounds, and printing is always light", async () => {
  const ground = async (colorScheme: "light" | "dark", media?: "print") => {
    await using sight = await browser.look(address("/full"), { colorScheme });
    if (media) await sight.page.emulateMedia({ media, colorScheme });
    return await sight.page.evaluate<string>("getComputedStyle(document.body).backgroundColor");
  };
  const [light, dark] = [await ground("light"), await ground("dark")];
  expect(light).not.toBe(dark);
  expect(await ground("dark", "print")).toBe("rgb(255, 255, 255)");
  expect(await ground("light", "print")).toBe("rgb(255, 255, 255)");
});

test("times are readable for programs and for people, with their zone", async () => {
  await using sight = await browser.look(address("/full"));
  const times = await sight.page.locator("time").all();
  expect(times.length).toBeGreaterThanOrEqual(50);
  for (const time of times) {
    expect(await time.getAttribute("datetime")).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
    expect(await time.textContent()).toMatch(/\d\d:\d\d CES?T$/);
  }
  expect(await sight.page.locator("header time").getAttribute("datetime")).toBe(NOW);
});
