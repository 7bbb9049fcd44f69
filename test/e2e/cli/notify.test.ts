import { afterAll, beforeAll, expect, test } from "bun:test";
import { documentedKeys, misfits, pathsOf } from "../../lab/cli-docs.ts";
import { Installation, localStorage } from "../../lab/installation.ts";
import { type HttpReceiver, RECEIVERS } from "../../lab/servers/receivers.ts";
import { usePostgres } from "../../lab/servers/use-postgres.ts";

const postgres = usePostgres();
let push: HttpReceiver;
let dead: HttpReceiver;
let installation: Installation;
beforeAll(async () => {
  [push, dead] = await Promise.all([RECEIVERS.ntfy(), RECEIVERS.healthchecks()]);
  if (push.config.type !== "ntfy" || dead.config.type !== "healthchecks") throw new Error("no receivers");
  const more = [
    `[[notify]]\nname = "push"\ntype = "ntfy"\nurl = "${push.config.url}"\ntopic = "backups"\nmin_level = "CRITICAL"`,
    `[[notify]]\nname = "switch"\ntype = "healthchecks"\nurl = "${dead.config.url.reveal()}"`,
    '[[notify]]\nname = "closed"\ntype = "webhook"\nurl = "http://127.0.0.1:1/hidden-token"',
  ].join("\n");
  const databases = [await postgres.createDatabase()];
  const storages = (directory: string) => [localStorage("disk", directory)];
  installation = await Installation.make({ postgres: postgres.address, databases, storages, more });
});
afterAll(() => Promise.all([push, dead, installation].map((one) => one[Symbol.asyncDispose]())));

test("a test notice really arrives, whatever the filters; what fails is said and shown by status", async () => {
  const { exitCode, stdout } = await installation.run("notify", "test", "--json");
  expect(exitCode).toBe(13);
  const json = JSON.parse(stdout);
  const documented = documentedKeys("JSON of notify");
  expect(misfits(json, documented)).toEqual([]);
  expect(pathsOf([json], documented)).toEqual(documented.map(({ path }) => path).sort());
  expect(json.notifiers).toEqual([
    { name: "push", type: "ntfy", delivered: true, error: null },
    { name: "switch", type: "healthchecks", delivered: true, error: null },
    { name: "closed", type: "webhook", delivered: false, error: "ECONNREFUSED" },
  ]);
  expect(stdout).not.toContain("hidden-token");
  expect(JSON.parse(push.requests[0]?.body ?? "")).toMatchObject({
    title: expect.stringMatching(/^\[pg321 \S+\] TEST: this is a test/),
    topic: "backups",
    priority: 3,
  });
  // A success would reset the switch, and a failure would raise the alarm.
  expect(dead.requests.map(({ url }) => url.pathname.split("/").at(-1))).toEqual(["log"]);
  const { notifiers } = (await installation.ok("status", "--json")).json;
  expect(notifiers.map(({ error }: { error: string | null }) => error === null)).toEqual([true, true, false]);
});

test("the named ones get it, and no other", async () => {
  push.requests.length = 0;
  dead.requests.length = 0;
  expect((await installation.ok("notify", "test", "push")).stdout).toMatch(/push +ntfy +delivered/);
  expect([push.requests.length, dead.requests.length]).toEqual([1, 0]);
  await push.behave("refuse");
  const { exitCode, stdout } = await installation.run("notify", "test", "push");
  expect(exitCode).toBe(13);
  expect(stdout).toMatch(/push +ntfy +not delivered +status 404/);
  await push.behave("take");
});

test("a wrong name or action is refused with what is right", async () => {
  for (const [words, hint] of [
    [["test", "psuh"], 'did you mean "push"?'],
    [["test", "elsewhere"], "the config has push, switch, closed"],
    [["tset"], "usage: pg321 notify test [NAME…]"],
    [[], "usage: pg321 notify test [NAME…]"],
  ] as const) {
    const { exitCode, stderr } = await installation.run("notify", ...words);
    expect({ exitCode, stderr }).toEqual({ exitCode: 2, stderr: expect.stringContaining(hint) });
  }
});

test("doctor connects to each receiver, and with --notify sends a test", async () => {
  const notifyFindings = async (...options: string[]) => {
    push.requests.length = 0;
    const { exitCode, stdout } = await installation.run("doctor", "--json", ...options);
    const { findings } = JSON.parse(stdout);
    const own = findings.filter(({ area }: { area: string }) => area === "notify");
    return { exitCode, sent: push.requests.length, own };
  };
  const silent = await notifyFindings();
  expect(silent).toMatchObject({ exitCode: 13, sent: 0 });
  expect(silent.own).toMatchObject([
    { subject: "push", verdict: "ok", message: expect.stringContaining("accepts connections") },
    { subject: "switch", verdict: "ok" },
    {
      subject: "closed",
      verdict: "failed",
      message: expect.stringContaining("ECONNREFUSED"),
      code: "storage",
    },
  ]);
  const sending = await notifyFindings("--notify");
  expect(sending).toMatchObject({ exitCode: 13, sent: 1 });
  expect(sending.own).toMatchObject([
    { subject: "push", verdict: "ok", message: expect.stringContaining("a test notice was delivered") },
    { subject: "switch", verdict: "ok" },
    { subject: "closed", verdict: "failed", message: expect.stringContaining("was not delivered: ") },
  ]);
});
