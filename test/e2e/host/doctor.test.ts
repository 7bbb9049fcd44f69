import { afterAll, beforeAll, expect, test } from "bun:test";
import { chmod, mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Finding } from "../../../src/doctor/finding.ts";
import { Installation, localStorage, s3Storage } from "../../lab/installation.ts";
import { onTerminal, screenOf } from "../../lab/machine/terminal.ts";
import { rgw } from "../../lab/servers/s3.ts";
import { usePostgres } from "../../lab/servers/use-postgres.ts";

const postgres = usePostgres();
let installation: Installation;
let at: (name: string) => string;
let exports = 0;
beforeAll(async () => {
  const database = await postgres.createDatabase();
  const address = await rgw();
  const bucket = await address.makeBucket();
  installation = await Installation.make({
    postgres: postgres.address,
    databases: [database],
    storages: (directory) => [
      localStorage("disk", directory),
      s3Storage("cloud", address, bucket).replace(
        /secret_access_key = .*/,
        'secret_access_key = { credential = "cloud-key" }',
      ),
    ],
  });
  at = (name) => join(installation.directory, name);
  await mkdir(at("credentials"), { mode: 0o700 });
  await writeFile(at("credentials/cloud-key"), address.secret_access_key, { mode: 0o600 });
  await writeFile(at("phrase"), "correct horse battery");
  await installation.ok("backup");
});
afterAll(() => installation[Symbol.asyncDispose]());

const exportKeys = () =>
  installation.ok("export-keys", at(`export-${++exports}`), "--passphrase-file", at("phrase"));

/** `ok credentials/cloud-key: credential, root:root 0600` of one area. */
async function found(area: Finding["area"]): Promise<{ exitCode: number; lines: string[] }> {
  const { exitCode, json } = await installation.run("doctor", "--json");
  const findings: Finding[] = json.findings;
  const lines = findings
    .filter((one) => one.area === area)
    .map(({ verdict, subject, message }) => `${verdict} ${subject}: ${message}`)
    .map((line) => line.replaceAll(`${installation.directory}/`, ""));
  return { exitCode, lines };
}

test("doctor names each file that a new host needs with owner and mode, and a host that was never exported", async () => {
  const { lines } = await found("host");
  expect(lines).toEqual([
    expect.stringMatching(/^ok config.toml: config, \S+:\S+ 0600$/),
    expect.stringMatching(/^ok credentials\/cloud-key: credential, \S+:\S+ 0600$/),
    expect.stringMatching(/^ok identity.txt: identity, \S+:\S+ 0600$/),
    expect.stringMatching(/^ok signing.key: signing key, \S+:\S+ 0600$/),
    "warning recovery-kit: never made: nothing says how to restore without pg321",
    "warning export-keys: never exported: if this host is lost, its config, credentials and keys are lost with it",
  ]);
});

test("on a narrow terminal each hint is below its own finding", async () => {
  const { written } = await onTerminal(["doctor"], { PG321_CONFIG: installation.configFile, COLUMNS: "60" })
    .ended;
  const shown = screenOf(written);
  const at = shown.findIndex((line) => /^ +found: never made/.test(line));
  expect(shown[at + 1]).toMatch(/^ +hint: .*recovery-kit/);
});

test("it knows when the last export was made, and which file has changed since", async () => {
  await exportKeys();
  const unchanged = await found("host");
  expect(unchanged.exitCode).toBe(0);
  expect(unchanged.lines.at(-1)).toMatch(/^ok export-keys: last exported \S+ \S+ UTC, unchanged since$/);
  await installation.configure({ more: "[guard]\nkeep = 4" });
  const changed = await found("host");
  expect(changed.exitCode).toBe(0);
  expect(changed.lines.at(-1)).toMatch(
    /^warning export-keys: changed since the last export \(\S+ \S+ UTC\): config.toml$/,
  );
  await exportKeys();
  await writeFile(at("credentials/new"), "added");
  expect((await found("host")).lines.at(-1)).toMatch(/^warning .*: credentials\/new$/);
  await rm(at("credentials/new"));
  expect((await found("host")).lines.at(-1)).toEndWith("unchanged since");
});

test("a credential that everybody can read is told, and one that nobody kept does not hide the rest", async () => {
  await chmod(at("credentials/cloud-key"), 0o644);
  expect((await found("host")).lines).toContainEqual(
    expect.stringMatching(
      /^warning credentials\/cloud-key: .* 0644: every user of this host has access to it$/,
    ),
  );
  await rm(at("credentials/cloud-key"));
  const host = await found("host");
  expect(host.exitCode).toBe(2);
  expect(host.lines).toContain("warning credentials/cloud-key: credential: does not exist");
  expect((await found("config")).lines).toEqual([
    'failed config.toml: storage "cloud" is not usable: secret_access_key: credential "cloud-key" does not exist (looked for credentials/cloud-key); so the service cannot start',
  ]);
  const storages = (await found("storage")).lines.join("\n");
  expect(storages).toContain("ok disk: ");
  expect(storages).not.toContain("cloud");
});
