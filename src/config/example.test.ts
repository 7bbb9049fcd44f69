import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Config, NOTIFY_TYPES } from "./config.ts";
import { EXAMPLE_RECIPIENT, loadConfig } from "./load.ts";
import type { ConfigError } from "./problems.ts";

const EXAMPLE = await readFile(new URL("../../config.example.toml", import.meta.url), "utf8");
/** The example with its off-site storages switched on. */
const LINES = switchedOn(EXAMPLE, "# Off-site storages", "# In [encryption]").split("\n");
const ENV = {
  R2_ACCOUNT_ID: "0123456789abcdef0123456789abcdef",
  R2_BUCKET_NAME: "backups-r2",
  R2_ACCESS_KEY_ID: "r2-key",
  R2_SECRET_ACCESS_KEY: "r2-secret",
  B2_BUCKET_NAME: "backups-b2",
  B2_REGION: "us-east-005",
  B2_ACCESS_KEY_ID: "b2-key",
  B2_SECRET_ACCESS_KEY: "b2-secret",
};
/** Values for the settings that the example shows only as comments. */
const SHOWN_ENV = {
  ...ENV,
  PGPASSWORD: "p",
  R2_SESSION_TOKEN: "t",
  DATABASE_URL: "postgres://u:p@db.example.com/postgres",
};

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "pg321-config-"));
  await writeFile(join(directory, "identity-passphrase"), "x");
  await writeFile(join(directory, "http-token"), "0123456789abcdef");
});
afterAll(() => rm(directory, { recursive: true }));

async function load(lines: string[], env: Record<string, string> = ENV): Promise<Config> {
  const file = join(directory, "config.toml");
  await writeFile(file, lines.join("\n"), { mode: 0o644 });
  return loadConfig(file, { env, credentialsDirectory: directory });
}

/** `#key = value`: a default, or with "# not set" an example of a setting that has none. */
const COMMENTED = LINES.flatMap((line, index) => {
  const match = /^#([a-z][a-z0-9_.]* = .*?)(\s+# not set)?$/.exec(line);
  return match?.[1] === undefined ? [] : [{ index, setting: match[1], hasDefault: match[2] === undefined }];
});
type Setting = Pick<(typeof COMMENTED)[number], "index" | "setting">;
/** Where the tables begin whose other settings the reference shows apart, by the headlines there. */
const APART: readonly [RegExp, number][] = [
  [/^# The top level\./, 0],
  [/^# In \[\[server\]\]/, LINES.indexOf("[[server]]")],
  [/^# In the \[\[storage\]\] of type "local"/, LINES.indexOf("[[storage]]")],
  [/^# In \[encryption\]/, LINES.indexOf("[encryption]")],
];

/** The index of the table to which a setting goes; undefined if its own line is in that table. */
function tableOf({ index }: Setting): number | undefined {
  const isHeadline = (line: string) => /^\[/.test(line) || APART.some(([headline]) => headline.test(line));
  const headline = LINES.slice(0, index).findLast(isHeadline) ?? "";
  return APART.find(([pattern]) => pattern.test(headline))?.[1];
}

/** The line at the beginning that has the same key as a setting. */
function setAbove(setting: Setting): number {
  const table = tableOf(setting);
  const key = setting.setting.split(" = ")[0];
  if (table === undefined) return -1;
  const end = LINES.indexOf("", table);
  return LINES.slice(0, end).findIndex((line, index) => index > table && line.startsWith(`${key} = `));
}

const without = (settings: Setting[]) =>
  LINES.map((line, index) => (settings.some((one) => setAbove(one) === index) ? "" : line));

/** The example with settings switched on, each in its table. */
function uncommented(...settings: Setting[]): string[] {
  return without(settings).flatMap((line, index) => {
    const here = settings.filter((one) => tableOf(one) === index).map(({ setting }) => setting);
    const itself = settings.find((one) => one.index === index && tableOf(one) === undefined);
    return [itself?.setting ?? line, ...here];
  });
}
/** Also without the numbers of lines, which settings at the beginning move. */
const withoutChecksum = ({ checksum, warnings, ...config }: Config) =>
  revealed({ ...config, warnings: warnings.map((warning) => warning.replace(/:\d+: /, ": ")) });
/** Compares secrets by their values. */
const revealed = (config: unknown) => JSON.parse(JSON.stringify(config));

describe("config.example.toml", () => {
  test("opens with ten lines that are a valid config, and sets nothing else but the table [restore_test]", async () => {
    const opening = LINES.slice(
      0,
      LINES.findIndex((line) => line.startsWith("# ---")),
    );
    const set = opening.filter((line) => line !== "" && !line.startsWith("#"));
    expect(set).toHaveLength(10);
    expect(withoutChecksum(await load([...set, "[restore_test]"], {}))).toEqual(
      withoutChecksum(await load(EXAMPLE.split("\n"), {})),
    );
  });

  test("loads with the documented variables alone", async () => {
    const { storage, warnings } = await load(LINES);
    expect(storage).toMatchObject([
      { name: "local", type: "local", path: "/srv/backup", off_site: false },
      {
        name: "r2",
        provider: "cloudflare-r2",
        endpoint: "https://0123456789abcdef0123456789abcdef.r2.cloudflarestorage.com",
        bucket: "backups-r2",
        off_site: true,
      },
      { name: "b2", provider: "backblaze-b2", endpoint: "https://s3.us-east-005.backblazeb2.com" },
    ]);
    expect(storage.map((one) => one.type === "s3" && one.secret_access_key.reveal())).toEqual([
      false,
      "r2-secret",
      "b2-secret",
    ]);
    // Nobody should go into production with a key whose secret nobody has.
    expect(warnings).toEqual([expect.stringContaining("the example's recipient")]);
    expect(EXAMPLE).toContain(EXAMPLE_RECIPIENT);
  });

  test("names every variable that is missing", async () => {
    const error = (await load(LINES, {}).catch((thrown: unknown) => thrown)) as ConfigError;
    for (const name of Object.keys(ENV)) expect(error.message).toContain(`"${name}" is not set`);
    expect(error.problems).toHaveLength(Object.keys(ENV).length);
  });

  test.each(COMMENTED.filter(({ hasDefault }) => hasDefault))(
    "shows the default: $setting",
    async (setting) => {
      expect(withoutChecksum(await load(uncommented(setting)))).toEqual(
        withoutChecksum(await load(without([setting]))),
      );
    },
  );

  test("a default that differs from the program's is noticed", async () => {
    const setting = COMMENTED.find((commented) => commented.setting.startsWith("nice")) ?? COMMENTED[0];
    const changed = uncommented({ index: setting?.index ?? 0, setting: "nice = 11" });
    expect(withoutChecksum(await load(changed))).not.toEqual(withoutChecksum(await load(LINES)));
  });

  test("every setting that it shows without a default is valid", async () => {
    // These replace other settings.
    const isApart = ({ setting }: { setting: string }) => /^(url|ca_file|immutable) = /.test(setting);
    const shown = COMMENTED.filter((one) => !isApart(one));
    const config = await load(uncommented(...shown), SHOWN_ENV);
    expect(config.server[0]).toMatchObject({ host: "db.example.com", sslcert: "/etc/pg321/client.pem" });
    const apart = uncommented(...COMMENTED.filter(isApart)).filter((line) => line !== 'user = "pg321"');
    const { server, storage } = await load(apart, SHOWN_ENV);
    expect(server[0]).toMatchObject({
      host: "db.example.com",
      sslmode: "verify-full",
      sslrootcert: "/etc/pg321/ca.pem",
    });
    expect(storage[1]).toMatchObject({
      name: "r2",
      ca_file: "/etc/pg321/ca.pem",
      immutable: { by: "bucket-rule", days: 14 },
    });
  });

  /** The program's own lists of keys, from the message for a key that resembles none of them. */
  test.each([
    ["the top level", "", ["qqqqqq = 1"]],
    ["[[server]]", "server", ["[[server]]", "qqqqqq = 1"]],
    ["[[storage]] local", "local", ["[[storage]]", 'type = "local"', "qqqqqq = 1"]],
    ["[[storage]] s3", "r2", ["[[storage]]", 'type = "s3"', "qqqqqq = 1"]],
    ["keep", "keep", ["[[storage]]", 'type = "local"', "keep.qqqqqq = 1"]],
    ["[encryption]", "encryption", ["[encryption]", "qqqqqq = 1"]],
    ["[compression]", "compression", ["[compression]", "qqqqqq = 1"]],
    ["[catalog]", "catalog", ["[catalog]", "qqqqqq = 1"]],
    ["[fleet]", "fleet", ["[fleet]", "qqqqqq = 1"]],
    ["[dump]", "dump", ["[dump]", "qqqqqq = 1"]],
    ["[guard]", "guard", ["[guard]", "qqqqqq = 1"]],
    ["[rule]", "rule", ["[rule]", "qqqqqq = 1"]],
    ["[cleanup]", "cleanup", ["[cleanup]", "qqqqqq = 1"]],
    ["[schedule]", "schedule", ["[schedule]", "qqqqqq = 1"]],
    ["[http]", "http", ["[http]", "qqqqqq = 1"]],
  ])("explains every key of %s", async (_, section, lines) => {
    const error = (await load(lines).catch((thrown: unknown) => thrown)) as ConfigError;
    const message = error.problems.find(({ path }) => path.endsWith("qqqqqq"))?.message ?? "";
    const keys = message.split("expected one of ")[1]?.split(", ") ?? [];
    expect(keys.length).toBeGreaterThan(0);
    const text = sectionOf(section);
    for (const key of keys)
      expect(text).toMatch(new RegExp(`^(# )?#?(\\[+)?((keep|schedule)\\.)?${key}\\b`, "m"));
  });

  test("settings of databases are explained with every key, and valid", async () => {
    const start = EXAMPLE.indexOf("# [[database]]\n");
    const offer = EXAMPLE.slice(start, EXAMPLE.indexOf("# -----", start)).split("\n");
    const shown = offer.map((line) => line.replace(/^# (\[\[database\]\]$|[a-z_]+ = )/, "$1"));
    const { database } = await load([...LINES, ...shown]);
    expect(database).toMatchObject([{ name: "shop_*", exclude_table_data: ["app.session"] }]);
    const error = await load([...LINES, "[[database]]", 'name = "x"', "qqqqqq = 1"]).catch(
      (one: unknown) => one,
    );
    const keys = (error as ConfigError).message.split("expected one of ")[1]?.split(/[, ;\n]+/) ?? [];
    const named = offer.join("\n").matchAll(/^# #?([a-z_]+) = /gm);
    expect([...named].map(([, key = ""]) => key).sort()).toEqual(
      keys.filter((key) => /^[a-z_]+$/.test(key)).sort(),
    );
  });

  describe("notifiers", () => {
    /** The part of the example with the notifiers, without the "# " in front of its settings. */
    const offer = EXAMPLE.slice(EXAMPLE.indexOf("# Notifiers: "))
      .split("\n")
      .map((line) => line.replace(/^# (\[\[notify\]\]$|[a-z_]+ = )/, "$1"));
    const secrets = ["webhook-url", "webhook-secret", "slack-url", "ntfy-topic", "ntfy-token"];

    test("are all shown, none of them is set by default, and each one is valid", async () => {
      expect((await load(LINES)).notify).toEqual([]);
      for (const name of [...secrets, "mail-password", "healthchecks-url"])
        await writeFile(join(directory, name), "https://example.com/hook");
      const { notify } = await load([...LINES, ...offer]);
      expect(notify.map(({ type }) => type)).toEqual([...NOTIFY_TYPES]);
    });

    test.each(NOTIFY_TYPES)("are explained with every key: %s", async (type) => {
      const lines = [...LINES, "[[notify]]", `type = "${type}"`, "qqqqqq = 1"];
      const error = (await load(lines).catch((thrown: unknown) => thrown)) as ConfigError;
      const message = error.problems.find(({ path }) => path.endsWith("qqqqqq"))?.message ?? "";
      const keys = message.split("expected one of ")[1]?.split(", ") ?? [];
      const blocks = offer.join("\n").split("[[notify]]");
      const block = blocks.find((text) => text.includes(`type = "${type}"`)) ?? "";
      const shown = [...block.matchAll(/^([a-z_]+) = /gm)].map(([, key]) => key);
      expect(shown.sort()).toEqual(keys.sort());
      expect(keys.length).toBeGreaterThan(4);
    });
  });
});

/** The part of the example that explains a table of the config. */
function sectionOf(section: string): string {
  if (section === "" || section === "keep") return EXAMPLE;
  const parts = LINES.join("\n").split(/^(?=\[|# In )/m);
  const isAbout = (part: string) =>
    part.includes(`name = "${section}"`) ||
    part.startsWith(`# In [[${section}]]`) ||
    part.startsWith(`# In [${section}]`) ||
    part.startsWith(`[${section}]`);
  return parts.findLast(isAbout) ?? "";
}

/** Without the "# " in front of the lines of tables between two texts. */
function switchedOn(example: string, from: string, to: string): string {
  const [start, end] = [example.indexOf(from), example.indexOf(to)];
  const offer = example.slice(start, end).replace(/^# (\[\[|#?[a-z_.]+ = )/gm, "$1");
  return example.slice(0, start) + offer + example.slice(end);
}
