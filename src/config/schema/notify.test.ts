import { describe, expect, test } from "bun:test";
import { loadToml, MINIMAL, mistakes } from "../../../test/fixtures/config-file.ts";
import { describeConfig } from "../describe.ts";

const LINE = MINIMAL.split("\n").length;
const notify = (lines: string) => `${MINIMAL}[[notify]]\nname = "ops"\n${lines}\n`;
/** The mistakes of a notifier, without line numbers. */
const wrong = async (lines: string) =>
  (await mistakes(notify(lines))).map((mistake) => mistake.replace(/^\d+ notify\[0\]\.?/, ""));

describe("[[notify]]", () => {
  test("has defaults that report every problem", async () => {
    const { notify: notifiers } = await loadToml(notify('type = "slack"\nurl = "https://example.com/a"'));
    expect(notifiers).toMatchObject([
      {
        name: "ops",
        min_level: "WARNING",
        jobs: ["backup", "cleanup", "verify", "repair", "restore-test", "restore"],
        databases: ["*"],
        timeout_ms: 10_000,
      },
    ]);
    expect((await loadToml(MINIMAL)).notify).toEqual([]);
  });

  test.each([
    ["starttls", 587],
    ["tls", 465],
    ["none", 25],
  ])("mail with %s goes to port %d", async (tls, port) => {
    const lines = `type = "email"\nhost = "mail"\ntls = "${tls}"\nfrom = "a@b.c"\nto = ["d@e.f"]`;
    expect((await loadToml(notify(lines))).notify).toMatchObject([{ port, user: undefined }]);
  });

  test("a healthcheck is about backups by default, and has no key databases", async () => {
    const lines = 'type = "healthchecks"\nurl = "https://hc-ping.com/x"';
    expect((await loadToml(notify(lines))).notify).toMatchObject([{ jobs: ["backup"] }]);
    expect(await wrong(`${lines}\ndatabases = ["a"]`)).toEqual([
      expect.stringContaining('databases: not a key of a [[notify]] of type "healthchecks"'),
    ]);
  });

  test("a dead man's switch cannot wait for restores: only the other types report them", async () => {
    const lines = 'type = "healthchecks"\nurl = "https://hc-ping.com/x"';
    const reason =
      'found "restore" (text), expected one of "backup", "cleanup", "verify", "repair", "restore-test": a dead man\'s switch waits for a schedule, and a restore has none; a [[notify]] of another type sends alerts about restores';
    expect(await mistakes(notify(`${lines}\njobs = ["backup", "restore"]`))).toEqual([
      `${LINE + 4} notify[0].jobs[1]: ${reason}`,
    ]);
    expect(await mistakes(notify(`${lines}\njobs = [\n  "restore",\n  "restor",\n]`))).toEqual([
      `${LINE + 5} notify[0].jobs[0]: ${reason}`,
      `${LINE + 6} notify[0].jobs[1]: found "restor" (text), expected one of "backup", "cleanup", "verify", "repair", "restore-test"`,
    ]);
    const scheduled = '["backup", "cleanup", "verify", "repair", "restore-test"]';
    expect((await loadToml(notify(`${lines}\njobs = ${scheduled}`))).notify).toMatchObject([
      { jobs: JSON.parse(scheduled) },
    ]);
    expect(
      (await loadToml(notify('type = "slack"\nurl = "https://a"\njobs = ["restore"]'))).notify,
    ).toMatchObject([{ jobs: ["restore"] }]);
  });

  test.each([
    ['type = "slak"', "type", 'did you mean "slack"?'],
    ['url = "https://a"', "type", 'missing, expected one of "webhook"'],
    ['type = "slack"', "url", "missing, expected a URL"],
    ['type = "slack"\nurl = "ftp://a"', "url", "expected a URL that begins with https:// or http://"],
    ['type = "slack"\nurl = "https://a"\nmin_level = "warning"', "min_level", 'did you mean "WARNING"?'],
    ['type = "slack"\nurl = "https://a"\njobs = ["bakcup"]', "jobs[0]", 'did you mean "backup"?'],
    ['type = "webhook"\nurl = "https://a"\nsecrt = "x"', "secrt", 'did you mean "secret"?'],
    ['type = "slack"\nurl = "https://a"\njobs = []', "jobs", "at least one job"],
    ['type = "slack"\nurl = "https://a"\ndatabases = []', "databases", "at least one name or glob"],
    ['type = "slack"\nurl = "https://a"\ndatabases = ["main/"]', "databases[0]", "SERVER/DATABASE"],
    ['type = "command"\nargv = ["page"]', "argv", "absolute path of a program"],
    ['type = "command"\ncommand = ["/bin/page"]', "command", 'did you mean "argv"?'],
    ['type = "command"\nargv = []', "argv", "absolute path of a program"],
    ['type = "email"\nhost = "h"\nfrom = "nobody"\nto = ["d@e.f"]', "from", "expected a mail address"],
    ['type = "email"\nhost = "h"\nfrom = "a@b.c"\nto = []', "to", "at least one mail address"],
    ['type = "email"\nhost = "h"\nfrom = "a@b.c"\nto = ["d@e.f"]\nuser = "u"', "user", "found alone"],
    [
      'type = "email"\nhost = "h"\nfrom = "a@b.c"\nto = ["d@e.f"]\ntls = "none"\nuser = "u"\npassword = "p"',
      "tls",
      "plain text",
    ],
  ])("%s", async (lines, key, message) => {
    const mistakes = await wrong(lines);
    expect(mistakes).toContainEqual(expect.stringMatching(new RegExp(`^${key.replace(/[[\]]/g, "\\$&")}: `)));
    expect(mistakes.join("\n")).toContain(message);
  });

  test("two notifiers with one name are a mistake", async () => {
    const one = '[[notify]]\nname = "a"\ntype = "slack"\nurl = "https://a"\n';
    expect(await mistakes(MINIMAL + one + one)).toEqual([
      `${LINE + 5} notify[1].name: found "a" twice, expected a unique name`,
    ]);
  });

  test("secrets are never shown, and a warning names those in a file that others can read", async () => {
    const lines =
      'type = "ntfy"\ntopic = "h1dden"\ntoken = "t0ken"\n[[notify]]\nname = "w"\ntype = "webhook"\nurl = "https://a/h1dden"\nsecret = "t0ken"';
    const config = await loadToml(notify(lines), { env: {} }, 0o644);
    expect(JSON.stringify([config, describeConfig(config)])).not.toMatch(/h1dden|t0ken/);
    expect(describeConfig(config)["notify"]).toMatchObject([{ topic: "[secret]" }, { url: "[secret]" }]);
    expect(config.warnings.filter((warning) => warning.includes("notify"))).toHaveLength(4);
    expect((await wrong('type = "slack"\nurl = "htps://a/h1dden"')).join()).not.toContain("h1dden");
  });
});
