import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium, type Page } from "playwright-core";

/** The browser of Debian's package. */
const CHROMIUM = "/usr/bin/chromium";
const AXE = join(import.meta.dir, "../../../node_modules/axe-core/axe.min.js");
/** All of axe-core's rules for WCAG 2.1 A and AA, and its best practices. */
const AXE_TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];

export interface LookOptions {
  /** In CSS pixels. */
  width?: number;
  colorScheme?: "light" | "dark";
  /** Whether the page's own scripts would run. Scripts of the test always run. */
  javaScript?: boolean;
  /** Ignores the page's policy, for things that the test adds to the page. */
  ignorePolicy?: boolean;
}

/** A page in its own tab. */
export interface Sight extends AsyncDisposable {
  page: Page;
  /** The addresses that the browser requested. */
  requests: string[];
  /** Messages of the browser about the page: errors, warnings, violations of its policy, failed requests. */
  complaints: string[];
}

/** A part of an image, in pixels. */
export interface Box {
  left: number;
  top: number;
  width: number;
  height: number;
}

/** The result of axe-core. */
export interface Accessibility {
  /** `rule: selector` of every violation. */
  violations: string[];
  /** The rules that applied to something and found no violation. */
  passes: string[];
}

/** A real headless Chromium, which ends with the test and leaves nothing behind. */
export class BrowserLab implements AsyncDisposable {
  readonly #browser: Awaited<ReturnType<typeof chromium.launch>>;
  readonly #home: string;

  private constructor(browser: Awaited<ReturnType<typeof chromium.launch>>, home: string) {
    this.#browser = browser;
    this.#home = home;
  }

  static async open(): Promise<BrowserLab> {
    const home = await mkdtemp(join(tmpdir(), "pg321-browser-"));
    try {
      // Debian's start script and the browser write to the home directory and to the temporary directory.
      const env = { PATH: process.env["PATH"] ?? "", HOME: home, TMPDIR: home, LANG: "C.UTF-8" };
      return new BrowserLab(await chromium.launch({ executablePath: CHROMIUM, env }), home);
    } catch (error) {
      await rm(home, { recursive: true, force: true });
      throw error;
    }
  }

  async look(address: string, options: LookOptions = {}): Promise<Sight> {
    const { width = 1280, colorScheme = "light", javaScript = true, ignorePolicy = false } = options;
    const context = await this.#browser.newContext({
      viewport: { width, height: 800 },
      colorScheme,
      javaScriptEnabled: javaScript,
      bypassCSP: ignorePolicy,
    });
    const page = await context.newPage();
    const [requests, complaints]: [string[], string[]] = [[], []];
    page.on("request", (request) => requests.push(request.url()));
    page.on("requestfailed", (request) => complaints.push(`failed: ${request.url()}`));
    page.on("console", (message) => complaints.push(`${message.type()}: ${message.text()}`));
    page.on("pageerror", (error) => complaints.push(`error: ${error.message}`));
    await page.goto(address);
    return { page, requests, complaints, [Symbol.asyncDispose]: () => context.close() };
  }

  /** The number of pixels in each part of a PNG whose colour differs from the most frequent colour of that part. */
  async drawn(png: Buffer, parts: readonly Box[]): Promise<number[]> {
    const page = await this.#browser.newPage();
    try {
      return await page.evaluate<number[]>(`(async () => {
        const image = new Image();
        image.src = "data:image/png;base64,${png.toString("base64")}";
        await image.decode();
        const drawing = new OffscreenCanvas(image.width, image.height).getContext("2d");
        drawing.drawImage(image, 0, 0);
        return ${JSON.stringify(parts)}.map(({ left, top, width, height }) => {
          const { data } = drawing.getImageData(left, top, Math.ceil(width), Math.ceil(height));
          const counts = new Map();
          for (const pixel of new Uint32Array(data.buffer)) counts.set(pixel, (counts.get(pixel) ?? 0) + 1);
          return data.length / 4 - Math.max(...counts.values());
        });
      })()`);
    } finally {
      await page.close();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#browser.close();
    await rm(this.#home, { recursive: true, force: true });
  }
}

/** Checks a page that was opened with `ignorePolicy`. */
export async function accessibility({ page }: Sight): Promise<Accessibility> {
  await page.addScriptTag({ path: AXE });
  const found = await page.evaluate<{
    violations: { id: string; nodes: { target: string[] }[] }[];
    passes: { id: string }[];
  }>(`axe.run(document, { runOnly: ${JSON.stringify(AXE_TAGS)} })`);
  return {
    violations: found.violations.flatMap(({ id, nodes }) =>
      nodes.map(({ target }) => `${id}: ${target.join(" ")}`),
    ),
    passes: found.passes.map(({ id }) => id),
  };
}
