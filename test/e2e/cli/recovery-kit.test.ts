import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Secret } from "../../../src/base/secret.ts";
import type { Finding } from "../../../src/doctor/finding.ts";
import { generateIdentity } from "../../../src/sealed/identity.ts";
import { sealText } from "../../../src/sealed/passphrase.ts";
import { documentedKeys, misfits } from "../../lab/cli-docs.ts";
import { blocksBelow } from "../../lab/documented-commands.ts";
import { Installation, localStorage } from "../../lab/installation.ts";
import { usePostgres } from "../../lab/servers/use-postgres.ts";

/* The files and records of `recovery-kit`. Its commands are run in `test/e2e/recovery/without-us.test.ts`. */

setDefaultTimeout(60_000);
const NAMES = ["SHA256SUMS", "format.md", "recovery-kit.md", "recovery-kit.txt", "unseal.py"];
const SECRETS = {
  access_key_id: "accessKeyThatIsSecret",
  secret_access_key: "secretKeyThatIsSecret",
  session_token: "sessionTokenThatIsSecret",
};
/** A storage that does not answer: the kit asks none. */
const BUCKET = (endpoint: string) =>
  [
    '[[storage]]\nname = "cloud"\ntype = "s3"\nprovider = "generic"\nbucket = "bucket"',
    `endpoint = "${endpoint}"\nregion = "us-east-1"`,
    ...Object.entries(SECRETS).map(([key, value]) => `${key} = "${value}"`),
  ].join("\n");
const MORE = [
  '[http]\ntoken = "tokenThatIsSecret1234567890"',
  '[[notify]]\nname = "n"\ntype = "webhook"\nurl = "https://a.example/urlThatIsSecret"\nsecret = "hookThatIsSecret"',
].join("\n");

const postgres = usePostgres();
let installation: Installation;
let base: string;
let database: string;
beforeAll(async () => {
  base = await mkdtemp(join(tmpdir(), "pg321-recovery-kit-"));
  database = await postgres.createDatabase();
  installation = await Installation.make({
    postgres: postgres.address,
    databases: [database],
    storages: (directory) => [localStorage("disk", directory)],
  });
  await installation.ok("backup");
  await installation.configure({
    storages: (directory) => [localStorage("disk", directory), BUCKET("http://127.0.0.1:1")],
    more: MORE,
  });
});
afterAll(async () => {
  await installation?.[Symbol.asyncDispose]();
  await rm(base, { recursive: true });
});

const doctorFinding = async (): Promise<Finding | undefined> => {
  const { findings } = (await installation.run("doctor", "--json")).json as { findings: Finding[] };
  return findings.find(({ subject }) => subject === "recovery-kit");
};
// biome-ignore lint/suspicious/noExplicitAny: tests read it freely.
const status = async (): Promise<any> => (await installation.ok("status", "--json")).json;
const isOutdated = ({ verdict }: { verdict: { problems: { text: string }[] } }) =>
  verdict.problems.some(({ text }) => text.startsWith("the recovery kit is older than"));

test("doctor asks for a kit until one was made, status only once one is older than storages or keys", async () => {
  expect(await doctorFinding()).toMatchObject({
    verdict: "warning",
    hint: expect.stringMatching(/^sudo pg321 --config \S+ recovery-kit DIR; /),
  });
  expect((await status()).recovery_kit).toBeNull();
  await installation.ok("recovery-kit", "-", "--no-record");
  expect((await status()).recovery_kit).toBeNull();
  const { json } = await installation.ok("recovery-kit", join(base, "first"), "--json");
  expect(misfits(json, documentedKeys("JSON of recovery-kit"))).toEqual([]);
  const current = await status();
  expect(current.recovery_kit).toEqual({ made_at: json.made_at, is_current: true });
  expect(isOutdated(current)).toBe(false);
  expect(await doctorFinding()).toMatchObject({ verdict: "ok", hint: null });

  const changes = [
    {
      recipients: [(await generateIdentity()).recipient, installation.recipient],
    },
    {
      recipients: [installation.recipient],
      storages: (directory: string) => [localStorage("disk", directory), BUCKET("http://127.0.0.1:2")],
    },
  ];
  for (const change of changes) {
    await installation.configure(change);
    const outdated = await status();
    expect(outdated.recovery_kit.is_current).toBe(false);
    expect(isOutdated(outdated)).toBe(true);
    expect((await installation.ok("status")).stdout).toContain("before a change of storages or keys");
    expect(await doctorFinding()).toMatchObject({ verdict: "warning", hint: expect.any(String) });
    await installation.ok("recovery-kit", "-");
    expect(isOutdated(await status())).toBe(false);
  }
});

test("holds none of the config's secrets, and says where each is kept", async () => {
  const directory = join(base, "secrets");
  const printed = await installation.ok("recovery-kit", directory);
  const whole = await installation.ok("recovery-kit", "-");
  const json = await installation.ok("recovery-kit", "-", "--json");
  expect((await readdir(directory)).sort()).toEqual(NAMES);
  for (const name of NAMES) expect(printed.stdout).toContain(`\n  ${name}\n`);
  const files = await Promise.all(NAMES.map((name) => readFile(join(directory, name), "utf8")));
  const identity = await readFile(installation.identityFile, "utf8");
  const signing = await readFile(join(installation.directory, "signing.key"), "utf8");
  const secrets = [
    ...Object.values(SECRETS),
    "ThatIsSecret",
    postgres.address.password,
    /^AGE-SECRET-KEY-1.*$/m.exec(identity)?.[0] ?? "",
    signing.split("\n").find((line) => line.startsWith("MC")) ?? "",
  ];
  for (const secret of secrets) {
    expect(secret.length).toBeGreaterThan(3);
    for (const text of [...files, printed.stdout, whole.stdout, json.stdout])
      expect(text).not.toContain(secret);
  }
  const page = files[NAMES.indexOf("recovery-kit.md")] ?? "";
  expect(page).toContain(`secret_access_key: written in \`${installation.configFile}\``);
  expect(page).toContain(`# signer`);
  for (const name of NAMES)
    expect((await stat(join(directory, name))).mode & 0o777).toBe(name.endsWith(".py") ? 0o755 : 0o644);
  // Everything is in the one text: a person can take the decoder out of it.
  const decoder = /^```python\n(.*?)^```$/ms.exec(whole.stdout)?.[1];
  expect(decoder).toBe(files[NAMES.indexOf("unseal.py")]);
});

test.each([
  ["none", "gzip"],
  ["none", "none"],
  ["age", "none"],
] as const)(
  "its commands open a backup with encryption %s and compression %s",
  async (encryption, algorithm) => {
    const made = await Installation.make({
      postgres: postgres.address,
      databases: [database],
      storages: (directory) => [localStorage("disk", directory)],
      encryption,
      more: `[compression]\nalgorithm = "${algorithm}"`,
    });
    await using _ = made;
    await made.ok("backup");
    const directory = join(made.directory, "kit");
    await made.ok("recovery-kit", directory);
    const page = await readFile(join(directory, "recovery-kit.md"), "utf8");
    const [fetch = ""] = blocksBelow(page, `main/${database} from disk, with cp`);
    const [open = ""] = blocksBelow(page, `Open and restore main/${database}`);
    await writeFile(join(directory, "identity.txt"), await readFile(made.identityFile));
    const shell = Bun.spawn(["bash", "-e", "-o", "pipefail", "-c", fetch + open], {
      cwd: directory,
      stdout: "pipe",
    });
    expect(await shell.stdout.text()).toContain(": OK\n");
    expect(await shell.exited).toBe(0);
    const dump = (await readdir(directory)).find((name) => name.endsWith(".dump")) ?? "";
    await made.ok("restore", "latest", "-d", database, "--output", join(directory, "by-pg321"));
    expect(await readFile(join(directory, dump))).toEqual(await readFile(join(directory, "by-pg321")));
    expect(page.includes("not encrypted")).toBe(encryption === "none");
  },
);

test.each([
  ["none", "gzip"],
  ["none", "none"],
  ["age", "zstd"],
] as const)(
  "its commands open a backup in several streams with encryption %s and compression %s, whatever dump.jobs is now",
  async (encryption, algorithm) => {
    await using made = await Installation.make({
      postgres: postgres.address,
      databases: [database],
      storages: (directory) => [localStorage("disk", directory)],
      encryption,
      more: `[compression]\nalgorithm = "${algorithm}"\n[dump]\njobs = 2`,
    });
    await made.ok("backup");
    const kit = async (name: string) => {
      const directory = join(made.directory, name);
      await made.ok("recovery-kit", directory);
      await writeFile(join(directory, "identity.txt"), await readFile(made.identityFile));
      const page = await readFile(join(directory, "recovery-kit.md"), "utf8");
      const run = async (...commands: string[]) => {
        const shell = Bun.spawn(["bash", "-e", "-o", "pipefail", "-c", commands.join("\n")], {
          cwd: directory,
          stdout: "pipe",
        });
        const printed = await shell.stdout.text();
        expect(await shell.exited).toBe(0);
        return printed;
      };
      const [fetch = ""] = blocksBelow(page, `main/${database} from disk, with cp`);
      const [open = ""] = blocksBelow(page, `Open and restore main/${database}`);
      return { directory, page, run, fetch, open };
    };
    const list = (directory: string) => `for one in ${directory}/*.dump; do pg_restore -l "$one"; done`;

    const now = await kit("now");
    expect(now.page).not.toContain("## Backups in several streams");
    const id = /^if .* (\w{8})/m.exec(
      blocksBelow(now.page, `Open and restore main/${database}`).at(-1) ?? "",
    )?.[1];
    expect(await now.run(now.fetch, now.open)).toEndWith("opened\n");
    const contents = await now.run(list(id ?? ""));
    expect(contents).toContain("Archive created at");

    await made.configure({ more: `[compression]\nalgorithm = "${algorithm}"` });
    const later = await kit("later");
    expect(later.open).not.toContain("--members");
    const [several = ""] = blocksBelow(later.page, "Backups in several streams");
    // Of an encrypted backup the file as it is, of another one the dump that the commands above it made of it.
    const file = encryption === "age" ? "backup_*.enc" : `${id}.dump`;
    const steps = encryption === "age" ? [later.fetch] : [later.fetch, later.open];
    await later.run(...steps, several.replace("FILE", file));
    expect(await later.run(list("archives"))).toBe(contents);
  },
);

test("is made although a storage lacks its credential, there is no backup, or the identity is protected", async () => {
  const broken = await Installation.make({
    postgres: postgres.address,
    databases: [database],
    storages: (directory) => [
      localStorage("disk", directory),
      BUCKET("http://127.0.0.1:1")
        .replace(/^session_token = .*$/m, "")
        .replace(/"secretKeyThatIsSecret"/, '{ credential = "gone" }'),
    ],
  });
  await using _ = broken;
  const identity = await readFile(broken.identityFile, "utf8");
  await writeFile(broken.identityFile, await sealText(identity, new Secret("correct horse")));
  const { stdout } = await broken.ok("recovery-kit", "-");
  expect(stdout).toContain("There was no good backup yet");
  expect(stdout).toContain("secret_access_key: credential `gone`");
  expect(stdout).toContain("passphrase of the identity file");
  expect(stdout).toContain("(not checked)");
});

test("replaces its own files, even after an interrupted run, and never another's", async () => {
  const directory = join(base, "own");
  const page = join(directory, "recovery-kit.md");
  const make = () => installation.run("recovery-kit", directory);
  expect((await make()).exitCode).toBe(0);
  const first = await readFile(page, "utf8");
  await installation.configure({ storages: (at) => [localStorage("disk", at)] });
  expect((await make()).exitCode).toBe(0);
  const second = await readFile(page, "utf8");
  expect(second).not.toBe(first);
  const check = Bun.spawn(["sha256sum", "-c", "--strict", "SHA256SUMS"], {
    cwd: directory,
    stdout: "ignore",
  });
  expect(await check.exited).toBe(0);

  // As after a run that ended in the middle: the list names both, the page is still the older one.
  const sums = await readFile(join(directory, "SHA256SUMS"), "utf8");
  const hash = new Bun.CryptoHasher("sha256").update(first).digest("hex");
  const [title = "", ...lines] = sums.split("\n");
  await writeFile(
    join(directory, "SHA256SUMS"),
    [title, `# replaced ${hash}  recovery-kit.md`, ...lines].join("\n"),
  );
  await writeFile(page, first);
  expect((await make()).exitCode).toBe(0);
  expect(await readFile(page, "utf8")).not.toBe(first);

  for (const [name, content] of [
    ["recovery-kit.md", `${second}\nMy own notes.\n`],
    ["unseal.py", "print('mine')\n"],
    ["SHA256SUMS", `${"a".repeat(64)}  recovery-kit.md\n`],
  ] as const) {
    const kept = await readFile(join(directory, name));
    await writeFile(join(directory, name), content);
    const before = await Promise.all(NAMES.map((one) => readFile(join(directory, one), "utf8")));
    const refused = await make();
    expect(refused).toMatchObject({ exitCode: 2, stdout: "" });
    expect(refused.stderr).toContain(`nothing was written: `);
    expect(refused.stderr).toContain(name);
    expect(await Promise.all(NAMES.map((one) => readFile(join(directory, one), "utf8")))).toEqual(before);
    await writeFile(join(directory, name), kept);
  }
  expect((await make()).exitCode).toBe(0);
  expect((await readdir(directory)).sort()).toEqual(NAMES);
});

test("a file in the place of the directory is refused", async () => {
  const refused = await installation.run("recovery-kit", installation.configFile);
  expect(refused).toMatchObject({ exitCode: 2, stdout: "" });
  expect(refused.stderr).toMatch(/^.*error: recovery-kit: .*\nhint: name a directory/m);
});

test("says that the config left parts of a database out, without their names", async () => {
  const page = async () => (await installation.ok("recovery-kit", "-", "--no-record")).stdout;
  expect(await page()).not.toContain("left parts");
  await postgres.connect(database)`create table excluded as select 1 as i`;
  await postgres.connect(database)`create table kept as select 1 as i`;
  const more = `[[database]]\nname = "${database}"\nexclude_tables = ["excluded"]`;
  await installation.configure({ more, storages: (at) => [localStorage("disk", at)] });
  await installation.ok("backup");
  expect(await page()).toContain("The config left parts of this database out of the dump");
  expect(await page()).not.toContain("excluded");
});

test("says how a catalog in PostgreSQL comes back: from its own backup, if there is one, and without its password", async () => {
  const own = await postgres.createDatabase();
  const url = postgres.url(own);
  const storages = (at: string) => [localStorage("disk", at), BUCKET("http://127.0.0.1:1")];
  const page = async () => (await installation.ok("recovery-kit", "-", "--no-record")).stdout;
  await installation.configure({ databases: [database], storages, more: "" });
  expect(await page()).not.toContain("\n## The catalog\n");
  const more = `[catalog]\nurl = "${url}"\n[dump]\njobs = 1`;
  await installation.configure({ databases: [own], storages: (at) => [localStorage("disk", at)], more });
  const text = (kit: string) => kit.replace(/\s+/g, " ");
  expect(text(await page())).toContain("**There was no good backup of it when this kit was made.**");
  await installation.ok("backup");
  await installation.configure({ storages });
  const kit = await page();
  expect(kit).not.toContain(postgres.address.password);
  const place = `postgres://127.0.0.1:${postgres.address.port}/${own}`;
  expect(kit).toContain(`\`${place}\``);
  expect(text(kit)).toContain("Give the role the password that `catalog.url` has");
  for (const storage of ["disk", "cloud"])
    expect(blocksBelow(kit, `The catalog from ${storage}`, ["sh"]).join("")).toContain(`/main/${own}`);
  const commands = blocksBelow(kit, "Open and restore the catalog", ["sh"]).join("");
  expect(commands).toContain(`CREATE DATABASE "${own}" OWNER "postgres" TEMPLATE template0`);
  const parsed = Bun.spawnSync(["bash", "-n"], { stdin: Buffer.from(commands) });
  expect(parsed.stderr.toString()).toBe("");
});
