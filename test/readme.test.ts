import { expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runProgram } from "./lab/installation.ts";

const ROOT = join(import.meta.dir, "..");
const readme = await Bun.file(join(ROOT, "README.md")).text();

/** The contents of its code blocks in a language; blocks without a language are command lines. */
function blocks(language: string): string[] {
  return [...readme.matchAll(/^```(\w*)\n(.*?)^```$/gms)]
    .filter(([, found]) => found === language)
    .map(([, , text]) => text ?? "");
}

test("its config is valid", async () => {
  const directory = await mkdtemp(join(tmpdir(), "pg321-readme-"));
  const config = join(directory, "config.toml");
  const toml = blocks("toml").join("");
  await Bun.write(config, toml);
  for (const [, name = ""] of toml.matchAll(/credential = "([^"]+)"/g))
    await Bun.write(join(directory, "credentials", name), "0123456789abcdef0123456789abcdef");
  const { exitCode, stderr } = await runProgram(["check", "--config", config], {});
  await rm(directory, { recursive: true });
  expect({ exitCode, stderr: exitCode === 0 ? "" : stderr }).toEqual({ exitCode: 0, stderr: "" });
});

test("its links lead to existing files", async () => {
  const links = [...readme.matchAll(/\]\(([^)]*)\)/g)].map(([, link = ""]) => link);
  expect(links.length).toBeGreaterThan(5);
  for (const link of links.filter((one) => !one.includes("://"))) {
    const [path = "", anchor] = link.split("#");
    const file = path === "" ? "README.md" : path;
    expect([link, existsSync(join(ROOT, file))]).toEqual([link, true]);
    if (anchor === undefined) continue;
    const headings = [...(await Bun.file(join(ROOT, file)).text()).matchAll(/^#+ (.*)$/gm)];
    const anchors = headings.map(([, text = ""]) =>
      text
        .toLowerCase()
        .replace(/[^\w\- ]/g, "")
        .replaceAll(" ", "-"),
    );
    expect(anchors).toContain(anchor);
  }
});
