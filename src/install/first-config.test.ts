import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadConfig } from "../config/load.ts";
import type { ConfigError } from "../config/problems.ts";
import { generateIdentity } from "../sealed/identity.ts";
import { firstConfig } from "./first-config.ts";

const { recipient: RECIPIENT } = await generateIdentity();
const CARRIED = await readFile(new URL("./config.toml", import.meta.url), "utf8");

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "pg321-first-config-"));
  for (const name of ["cloud-id", "cloud-secret"]) await Bun.write(join(directory, "credentials", name), "x");
});
afterAll(() => rm(directory, { recursive: true }));

async function load(text: string) {
  const file = join(directory, "config.toml");
  await writeFile(file, text, { mode: 0o640 });
  return loadConfig(file, { env: {} });
}

/** The lines that a person must complete; the ones that start with # only if they are wanted. */
const marked = (text: string) => text.split("\n").filter((line) => line.includes("# FILL IN"));
const withPath = (text: string) => text.replace('path = ""', 'path = "/srv/backups"');

test("it is short, and its mistakes are exactly the marked lines", async () => {
  expect(CARRIED.split("\n").length).toBeLessThan(45);
  const error = (await load(CARRIED).catch((thrown: unknown) => thrown)) as ConfigError;
  const lines = CARRIED.split("\n");
  expect(error.problems.map(({ line }) => lines[(line ?? 0) - 1])).toEqual(
    marked(CARRIED).filter((line) => !line.startsWith("# ")),
  );
});

test("it is valid, without a warning, once the marked lines are complete", async () => {
  const config = await load(withPath(firstConfig(RECIPIENT)));
  expect(config.warnings).toEqual([]);
  expect(config).toMatchObject({
    server: [{ user: "pg321", host: undefined }],
    storage: [{ name: "disk", path: "/srv/backups" }],
    encryption: { recipients: [RECIPIENT] },
  });
});

test("its tables for a bucket and for mail are valid when they are completed, too", async () => {
  const bare = withPath(firstConfig(RECIPIENT)).replace(/^# (?=\[\[|[a-z_]+ = )/gm, "");
  const values: Record<string, string> = {
    region: "eu-central-003",
    bucket: "backups",
    host: "mail.example.com",
    from: "pg321@example.com",
  };
  const complete = bare
    .replace(/^(\w+) = ""/gm, (_, key: string) => `${key} = "${values[key]}"`)
    .replace('to = [""]', 'to = ["ops@example.com"]');
  const { storage, notify } = await load(complete);
  expect(storage).toMatchObject([{ off_site: false }, { name: "cloud", off_site: true }]);
  expect(notify).toMatchObject([{ name: "mail", type: "email" }]);
});

test("the recipient replaces its mark and nothing else", () => {
  const lines = CARRIED.split("\n");
  const changed = firstConfig(RECIPIENT)
    .split("\n")
    .filter((line, index) => line !== lines[index]);
  expect(changed).toEqual([`recipients = ["${RECIPIENT}"]`]);
  expect(firstConfig(undefined)).toBe(CARRIED);
});
