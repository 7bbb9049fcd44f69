import { afterAll, beforeAll, expect, test } from "bun:test";
import { join } from "node:path";
import { reportJson } from "../../../src/status/verdict.ts";
import { fullReport, hoursAgo } from "../../fixtures/status-report.ts";
import { type DocumentedKey, documentedKeys, misfits, pathsOf } from "../../lab/cli-docs.ts";
import { Installation, localStorage, runProgram } from "../../lab/installation.ts";
import { type Running, watched } from "../../lab/machine/running.ts";
import { usePostgres } from "../../lab/servers/use-postgres.ts";

const postgres = usePostgres();
const TOKEN = "a-token-of-the-lab";
const DOCUMENTED = documentedKeys("JSON of status");

let installation: Installation;
let database: string;
let socket: string;

beforeAll(async () => {
  database = await postgres.createDatabase();
  installation = await Installation.make({
    postgres: postgres.address,
    databases: [database],
    storages: (directory) => [localStorage("disk", directory), localStorage("usb", directory)],
  });
  socket = join(installation.directory, "http.sock");
  await configure(TOKEN);
});
afterAll(() => installation[Symbol.asyncDispose]());

/** A schedule with a backup about every second, so that one runs soon. */
async function configure(token: string, backup = "off"): Promise<void> {
  await installation.configure({
    more: `[http]
listen = "unix:${socket}"
token = "${token}"
[schedule]
backup = "${backup}"
`,
  });
}

async function withDaemon(work: (daemon: Running) => Promise<void>): Promise<void> {
  const daemon = watched(installation.start("run"));
  try {
    await daemon.says("the HTTP endpoint is open");
    await work(daemon);
  } finally {
    daemon.kill("SIGTERM");
    await daemon.ended;
  }
}

const ask = (path: string, headers: Record<string, string> = {}) =>
  fetch(`http://localhost${path}`, {
    unix: socket,
    headers: { authorization: `Bearer ${TOKEN}`, ...headers },
  });
const statusJson = async () => (await installation.ok("status", "--json")).json;

/** Removes nulls that stand for an object whose keys are documented. */
function present(value: unknown, documented: readonly DocumentedKey[], path = ""): unknown {
  if (Array.isArray(value)) return value.map((item) => present(item, documented, `${path}[]`));
  const isWhole = documented.some((key) => key.path === path && key.type.startsWith("object"));
  if (typeof value !== "object" || value === null || isWhole) return value;
  const entries = Object.entries(value).map(([key, item]) => [
    path === "" ? key : `${path}.${key}`,
    key,
    item,
  ]);
  return Object.fromEntries(
    entries
      .filter(([at, , item]) => item !== null || !documented.some((key) => key.path.startsWith(`${at}.`)))
      .map(([at, key, item]) => [key, present(item, documented, at)]),
  );
}

test("without a daemon the state comes from the catalog, and a line says so, once", async () => {
  const fresh = await installation.ok("status");
  expect(fresh.stdout).toStartWith("The daemon does not answer.\n");
  expect(fresh.stdout).toContain(`without a daemon (unix:${socket}: ENOENT): next runs`);
  expect(fresh.stderr).toBe("");
  await installation.ok("backup");
  const report = await statusJson();
  expect(report).toMatchObject({
    daemon: null,
    databases: [{ server: "main", database, state: "good", newest_good: { storages: ["disk", "usb"] } }],
    storages: [
      { name: "disk", copies: 1, is_reachable: null },
      { name: "usb", copies: 1 },
    ],
    jobs: [{ job: "backup", last_run: { outcome: "OK" } }, {}, {}, {}, {}, {}, {}],
    running: [],
  });
  const text = await installation.ok("status");
  expect(text.stdout).toMatch(new RegExp(`^main/${database} +good +3 - - - - +\\d{4}-`, "m"));
  expect(text.stdout).not.toContain("\u001b[");
});

test("with a daemon it is the same as from the endpoint, and as documented", async () => {
  await withDaemon(async () => {
    const shown = await statusJson();
    // biome-ignore lint/suspicious/noExplicitAny: tests read it freely.
    const served = (await (await ask("/status?format=json")).json()) as any;
    const timeless = (report: { now: string; daemon: object; databases: object[] }) => ({
      ...report,
      now: "",
      daemon: { ...report.daemon, uptime_ms: 0 },
      storages: [],
      databases: JSON.parse(JSON.stringify(report.databases).replace(/_?age_ms":\d+/g, 'age_ms":0')),
    });
    expect(timeless(shown)).toEqual(timeless(served));
    expect(shown.daemon).toMatchObject({ config_file: installation.configFile, is_stopping: false });
    const text = await installation.ok("status");
    expect(text.stderr).toBe("");
    expect(text.stdout.split("\n")[0]).toBe((await (await ask("/status")).text()).split("\n")[0] as string);

    expect(misfits(present(shown, DOCUMENTED), DOCUMENTED)).toEqual([]);
  });
}, 60_000);

test("with a broken config on disk the running daemon still answers, and stderr says what is broken", async () => {
  const good = await Bun.file(installation.configFile).text();
  await withDaemon(async () => {
    for (const broken of [
      `${good}\n[htpt]\n`,
      good.replace("[[server]]", "[[sevrer]]"),
      `not toml\n${good}`,
    ]) {
      await Bun.write(installation.configFile, broken);
      const { stdout, stderr } = await installation.ok("status");
      expect(stdout).toContain("daemon up for");
      expect(stderr).toMatch(/the config on disk cannot be used: .*(htpt|sevrer|not valid TOML)/s);
      expect((await installation.run("status", "--exit-code")).exitCode).toBeGreaterThanOrEqual(3);
    }
    await Bun.write(installation.configFile, `${good}\n[htpt]\n[sehcdule]\n`);
    const two = await installation.ok("status");
    const mistakes = two.stderr.split("\n").filter((line) => /: (htpt|sehcdule): /.test(line));
    expect({ mistakes: mistakes.length, isVisible: !two.stderr.includes("\ufffd") }).toEqual({
      mistakes: 2,
      isVisible: true,
    });
    // Another config's daemon is not asked.
    const other = `${installation.configFile}.other`;
    await Bun.write(other, `${good}\n[htpt]\n`);
    expect(await installation.run("status", "--config", other)).toMatchObject({ exitCode: 2, stdout: "" });
  });
  // Without a daemon the mistakes are the answer.
  expect((await installation.run("status")).stderr).toStartWith("error: ");
  await Bun.write(installation.configFile, good);
  expect((await installation.run("status", "--exit-code")).exitCode).toBe(3);
}, 60_000);

test("exactly the possible keys are documented", () => {
  const report = { ...fullReport(), recovery_kit: { made_at: hoursAgo(100), is_current: true } };
  const [first] = report.databases;
  if (first) first.server_failure = { at: first.first_seen_at, error: "connection refused" };
  for (const globals of report.globals ?? [])
    globals.last_attempt = {
      id: crypto.randomUUID(),
      status: "FAILED",
      started_at: hoursAgo(1),
      error: "refused",
    };
  const full = present(reportJson(report), DOCUMENTED);
  expect(misfits(full, DOCUMENTED)).toEqual([]);
  const told = DOCUMENTED.filter(({ type }) => type !== "null").map(({ path }) => path);
  expect(pathsOf([full], DOCUMENTED)).toEqual(told.sort());
});

test("a refused token, and another program at the address, are reported", async () => {
  await withDaemon(async () => {
    await configure("another-token-of-16");
    const refused = await installation.ok("status");
    expect(refused.stdout).toContain(
      "the daemon refused the token of this config; was it reloaded after a change of the token?",
    );
    expect(refused.stdout).toContain("The daemon does not answer");
    await configure(TOKEN);
  });
  const answers = [
    () => new Response("hello"),
    () => new Response('{"databases":{}}'),
    () => new Response("no", { status: 500 }),
  ];
  const told: string[] = [];
  for (const answer of answers) {
    const other = Bun.serve({ unix: socket, fetch: answer });
    told.push((await installation.ok("status")).stdout);
    await other.stop(true);
  }
  expect(told.map((text) => /sock: (.*)\): next runs/.exec(text)?.[1])).toEqual([
    "another program answers there, not pg321",
    "another program answers there, not pg321",
    "HTTP status 500",
  ]);
}, 60_000);

test("a daemon that accepts the request and never answers delays the command only for some seconds", async () => {
  const hanging = Promise.withResolvers<Response>();
  const other = Bun.serve({ unix: socket, fetch: () => hanging.promise });
  const told = await installation.ok("status");
  hanging.resolve(new Response());
  await other.stop(true);
  expect(told.stdout).toContain("no answer within 3000 ms): next runs");
}, 60_000);

test("the token goes only to the daemon, even if the environment names a proxy", async () => {
  const seen: string[] = [];
  const proxy = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: (request) => {
      seen.push(request.url);
      return new Response("proxied");
    },
  });
  const free = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response() });
  await installation.configure({ more: `[http]\nlisten = "127.0.0.1:${free.port}"\ntoken = "${TOKEN}"\n` });
  const through = `http://127.0.0.1:${proxy.port}`;
  const asked = await runProgram(["status"], {
    PG321_CONFIG: installation.configFile,
    HTTP_PROXY: through,
    http_proxy: through,
  });
  await Promise.all([proxy.stop(true), free.stop(true)]);
  await configure(TOKEN);
  expect(asked.stdout).toContain("another program answers there, not pg321");
  expect(seen).toEqual([]);
});
