import { afterAll, beforeAll, expect, test } from "bun:test";
import { marks } from "../../fixtures/marks.ts";
import { pageOf } from "../../fixtures/page-input.ts";
import { database, freshReport, fullReport, manyDatabases } from "../../fixtures/status-report.ts";
import { accessibility, BrowserLab } from "../../lab/machine/browser.ts";

/** The five marks of 3-2-1-1-0 in a real browser. */

const ALL_HELD = freshReport({ databases: [database({ marks: marks("hhhhh") })] });
const PAGES: Readonly<Record<string, string>> = {
  "/full": pageOf(fullReport()),
  "/held": pageOf(ALL_HELD),
  "/one": pageOf(fullReport(), "database=main/billing"),
  "/many": pageOf(manyDatabases(60)),
};

let browser: BrowserLab;
let server: ReturnType<typeof Bun.serve>;
beforeAll(async () => {
  const headers = { "content-type": "text/html; charset=utf-8" };
  const fetch = ({ url }: Request) => new Response(PAGES[new URL(url).pathname] ?? "", { headers });
  server = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch });
  browser = await BrowserLab.open();
});
afterAll(async () => {
  await browser[Symbol.asyncDispose]();
  await server.stop(true);
});
const look = (path: string) => browser.look(`http://127.0.0.1:${server.port}${path}`);

test.each([390, 1280])(
  "at %d pixels five marks stand in one line, in words, and nothing is cut off",
  async (width) => {
    await using sight = await look("/full");
    const { page } = sight;
    await page.setViewportSize({ width, height: 900 });
    const billing = page.locator('ul[aria-label="Marks of 3-2-1-1-0 of main/billing"] li');
    expect(await billing.allInnerTexts()).toEqual(
      ["3 copies lost", "2 kinds lost", "1 off-site lost", "1 immutable not set up", "0 errors held"].map(
        (text) => expect.stringMatching(new RegExp(`^${text.replaceAll(" ", "\\s+")}$`)),
      ),
    );
    const tops = await page.evaluate<number[][]>(`[...document.querySelectorAll(".marks")].map((list) =>
    [...new Set([...list.children].map((one) => one.getBoundingClientRect().top))])`);
    expect(tops.length).toBeGreaterThan(4);
    for (const rows of tops) expect(rows).toHaveLength(1);
    const cut = await page.evaluate<string[]>(`[...document.querySelectorAll(".marks li, .marks .label")]
    .filter((one) => one.scrollWidth > one.clientWidth + 1).map((one) => one.textContent)`);
    expect(cut).toEqual([]);
    expect(await page.evaluate<number>("document.documentElement.scrollWidth")).toBe(width);
    expect((await accessibility(sight)).violations).toEqual([]);
  },
);

test("each missing mark is said once, with its databases, its reason and its next step; lost ones first", async () => {
  await using sight = await look("/full");
  const rows = await sight.page.locator("[aria-labelledby=marks] .rows > li").allInnerTexts();
  const oneLine = rows.map((text) => text.replaceAll(/\s+/g, " "));
  expect(oneLine[0]).toMatch(
    /^3 copies lost since 3 days ago .*: main\/billing, main\/legacy 2 of 3 copies: .* Next: fill the missing copies, with: pg321 repair$/,
  );
  expect(oneLine.filter((text) => /^1 immutable not set up ?: /.test(text))).toHaveLength(1);
  const firstNotSetUp = oneLine.findIndex((text) => / not set up ?: /.test(text));
  expect(oneLine.slice(firstNotSetUp).some((text) => / lost since /.test(text))).toBe(false);
});

test("all marks held is said as well, and a page about one database has only its marks", async () => {
  await using held = await look("/held");
  expect(await held.page.locator("[aria-labelledby=marks]").innerText()).toContain(
    "Every database holds every mark that the config demands.",
  );
  await using one = await look("/one");
  const text = await one.page.locator("[aria-labelledby=marks]").innerText();
  expect(text).toContain("billing");
  expect(text).not.toContain("legacy");
});

test("databases in one line each have their marks in a few characters, and in words for a screen reader", async () => {
  await using sight = await look("/many");
  const brief = await sight.page.locator(".brief li").first().textContent();
  expect(brief).toContain("3 2 1 - -");
  expect(brief).toContain("no mark lost");
});
