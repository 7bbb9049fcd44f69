import { Database } from "bun:sqlite";
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { chmod, chown, mkdir, rename, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { CreateBucketCommand, PutObjectLockConfigurationCommand } from "@aws-sdk/client-s3";
import { findAccount } from "../../../src/base/process/become-user.ts";
import type { Finding } from "../../../src/doctor/finding.ts";
import { documentedKeys, misfits, pathsOf } from "../../lab/cli-docs.ts";
import { Installation, localStorage, s3Storage } from "../../lab/installation.ts";
import { mountTmpfs } from "../../lab/machine/mounts.ts";
import { freePort } from "../../lab/servers/free-port.ts";
import { deny, rgw, swift } from "../../lab/servers/s3.ts";
import { usePostgres } from "../../lab/servers/use-postgres.ts";

const postgres = usePostgres();
const NOBODY = findAccount("nobody");
const isRoot = process.getuid?.() === 0;
const ROLE = `doctor_${crypto.randomUUID().slice(0, 8)}`;

let installation: Installation;
let [database, bucket] = ["", ""];
beforeAll(async () => {
  database = await postgres.createDatabase();
  const address = await rgw();
  bucket = await address.makeBucket();
  installation = await Installation.make({
    postgres: postgres.address,
    databases: [database],
    storages: (directory) => [localStorage("disk", directory), s3Storage("cloud", address, bucket)],
    more: '[[notify]]\nname = "ops"\ntype = "command"\nargv = ["/bin/true"]',
  });
});
afterAll(() => installation[Symbol.asyncDispose]());

interface Report {
  exitCode: number;
  findings: Finding[];
  /** `storage disk: message` of the findings that are not ok. */
  wrong: string[];
  /** The messages about one subject. */
  of: (area: Finding["area"], subject?: string) => string[];
}

async function doctor(at: Installation = installation): Promise<Report> {
  const { exitCode, stdout, stderr } = await at.run("doctor", "--json");
  if (stdout === "") throw new Error(stderr);
  const json = JSON.parse(stdout);
  const { findings, ...counts } = json as { findings: Finding[] };
  const documented = documentedKeys("JSON of doctor");
  expect(misfits(json, documented)).toEqual([]);
  expect(pathsOf([json], documented)).toEqual(documented.map(({ path }) => path).sort());
  const count = (verdict: string) => findings.filter((one) => one.verdict === verdict).length;
  expect(counts as object).toEqual({ ok: count("ok"), warnings: count("warning"), failed: count("failed") });
  return {
    exitCode,
    findings,
    wrong: findings.flatMap(({ area, subject, verdict, message }) =>
      verdict === "ok" ? [] : [`${verdict} ${area} ${subject}: ${message}`],
    ),
    of: (area, subject) =>
      findings
        .filter((one) => one.area === area && (subject === undefined || one.subject === subject))
        .map(({ message }) => message),
  };
}

/** Of a disk of the lab that PostgreSQL's data lie on, too. */
const withoutSharedDisk = (wrong: string[]) => wrong.filter((line) => !/on the same device as/.test(line));
/** Other files test these: e2e/host/doctor.test.ts and e2e/storage/three-two-one.test.ts. */
const OF_OTHERS = /^warning (host export-keys: never|host recovery-kit: never|storage 3-2-1: )/;
const withoutExport = (wrong: string[]) => withoutSharedDisk(wrong).filter((line) => !OF_OTHERS.test(line));

test("if everything is ok it says what it checked, and ends with 0", async () => {
  await installation.ok("backup");
  const at = (name: string) => join(installation.directory, name);
  await writeFile(at("phrase"), "correct horse battery");
  await installation.ok("export-keys", at("host.age"), "--passphrase-file", at("phrase"));
  await installation.ok("recovery-kit", at("kit"));
  const { exitCode, wrong, of } = await doctor();
  expect(withoutSharedDisk(wrong)).toEqual([]);
  expect(exitCode).toBe(0);
  expect(of("server", "main")).toEqual([
    expect.stringMatching(/^PostgreSQL \d+\.\d+.* as "postgres"$/),
    expect.stringMatching(/^pg_dump \d+\.\d+ \(\//),
    "superuser: can dump everything",
    `1 database: ${database}`,
  ]);
  expect(of("host")).toEqual([
    expect.stringMatching(/^config, \S+:\S+ 0600$/),
    expect.stringMatching(/^identity, \S+:\S+ 0600$/),
    expect.stringMatching(/^signing key, \S+:\S+ 0600$/),
    expect.stringMatching(/^made \S+ \S+ UTC; storages and keys are unchanged since$/),
    expect.stringMatching(/^last exported \S+ \S+ UTC, unchanged since$/),
  ]);
  expect(of("catalog")).toEqual([expect.stringMatching(/^intact, version \d+$/)]);
  expect(of("storage", "cloud")).toEqual([
    `bucket "${bucket}" can be read and listed: holds objects, keeps no versions`,
  ]);
  expect(of("storage", "disk").at(-1) ?? "").toMatch(
    /disk is writable, .* free on \/.* \(\w+\)$|same device/,
  );
  expect(of("keys").join("\n")).toContain("opens backups sealed to 1 of 1 recipient");
  const { stdout, stderr } = await installation.ok("doctor");
  expect(stdout).toMatch(/^ok +storage +cloud +bucket [\s\S]*\n0 failed, \d warnings?, \d+ ok\n$/m);
  expect(stderr).toBe("");
});

test("all failing servers and storages are reported, and none hides another", async () => {
  const address = await rgw();
  const { port, user } = postgres.address;
  const server = (name: string, lines: string) =>
    `[[server]]\nname = "${name}"\nhost = "127.0.0.1"\n${lines}`;
  await using broken = await Installation.make({
    postgres: postgres.address,
    databases: [database, "not_there", "nothing_*"],
    storages: (directory) => [
      localStorage("disk", directory),
      localStorage("away", directory),
      localStorage("full", directory, { min_free: "1000TiB" }),
      s3Storage("cloud", address, bucket),
      s3Storage("forged", { ...address, secret_access_key: "wrong" }, bucket, { prefix: "other" }),
      s3Storage("astray", address, "no-such-bucket-here"),
    ],
    more: [
      server("stopped", `port = ${await freePort()}`),
      server("locked", `port = ${port}\nuser = "${user}"\npassword = "hunter2"`),
    ].join("\n"),
  });
  await rm(join(broken.directory, "away"), { recursive: true });
  const { exitCode, wrong, findings } = await doctor(broken);
  expect(exitCode).toBe(10);
  expect(withoutExport(wrong)).toEqual([
    'failed server main: database "not_there" does not exist',
    'warning server main: "nothing_*" matches no database',
    expect.stringMatching(
      /^failed server stopped: cannot connect to database "postgres".*(refused|ECONNREFUSED)/,
    ),
    expect.stringMatching(/^failed server locked: cannot connect .*password/),
    expect.stringMatching(/^failed storage away: directory \/.*\/away does not exist/),
    expect.stringMatching(/^failed storage full: .* free on .*, but min_free is /),
    expect.stringMatching(
      /^failed storage forged: .*the signature was refused \(SignatureDoesNotMatch, 403\)$/,
    ),
    expect.stringMatching(/^failed storage astray: .*the bucket does not exist/),
    "warning notify alerts: no notifier: nobody will be told when a backup fails",
  ]);
  expect(JSON.stringify(findings)).not.toContain("hunter2");
  for (const [area, subject] of [
    ["server", "main"],
    ["storage", "cloud"],
  ])
    expect(findings.some((one) => one.area === area && one.subject === subject && one.verdict === "ok")).toBe(
      true,
    );
  for (const { verdict, hint, message } of findings)
    if (verdict === "failed")
      expect({ message, hint }).toEqual({ message, hint: expect.stringMatching(/\w/) });
});

test("a bucket's versioning, locks and lifecycle rules are reported, as far as the key may read them", async () => {
  const lab = await rgw();
  const { client } = lab;
  const [versioned, closed] = [await lab.makeBucket({ versioned: true }), await lab.makeBucket()];
  const locked = `${closed}-locked`;
  // Answers the question for locks with a listing.
  const plain = await swift();
  const bucketThere = await plain.makeBucket();
  await client.send(new CreateBucketCommand({ Bucket: locked, ObjectLockEnabledForBucket: true }));
  const DefaultRetention = { Mode: "COMPLIANCE", Days: 14 } as const;
  const ObjectLockConfiguration = { ObjectLockEnabled: "Enabled", Rule: { DefaultRetention } } as const;
  await client.send(new PutObjectLockConfigurationCommand({ Bucket: locked, ObjectLockConfiguration }));
  await deny(lab, closed, "s3:GetBucketVersioning", "s3:GetBucketObjectLockConfiguration");
  await using at = await Installation.make({
    postgres: postgres.address,
    databases: [database],
    storages: () => [
      ...[versioned, locked, closed].map((name) => s3Storage(name.slice(-8), lab, name)),
      s3Storage("limited", plain, bucketThere),
    ],
  });
  const seen = (await doctor(at)).of("storage");
  expect(seen.map((message) => message.replace(/^.* listed: /, ""))).toEqual([
    expect.stringMatching(/^3-2-1 is met: 5 copies /),
    "holds nothing yet, keeps versions",
    "holds nothing yet, keeps versions, locks each object for 14 days (compliance)",
    "holds nothing yet, the access key may not read the versioning setting, the access key may not read the Object Lock setting",
    "holds nothing yet, keeps no versions",
  ]);
});

test("missing rights of the role are reported for each database, with the statement that grants them", async () => {
  const own = await postgres.createDatabase();
  const sql = postgres.connect(own);
  const admin = postgres.connect();
  await admin.unsafe(`create role ${ROLE} login password 'x'`);
  try {
    await sql
      .unsafe(`
      create table closed (id int); create schema hidden; create table hidden.inner (id serial);
      create table filtered (id int); grant select on filtered to ${ROLE};
      alter table filtered enable row level security; create policy positive on filtered using (id > 0);
      create table open (id int); grant select on open to ${ROLE};
      create extension pg_stat_statements; select lo_create(0);`)
      .simple();
    await using as = await Installation.make({
      postgres: { ...postgres.address, user: ROLE, password: "x" },
      databases: [own],
      storages: (directory) => [localStorage("disk", directory)],
    });
    const poor = await doctor(as);
    expect(poor.exitCode).toBe(10);
    expect(poor.of("server", `main/${own}`)).toEqual([
      `"${ROLE}" cannot read 3 of its tables and sequences: hidden."inner", hidden.inner_id_seq, public.closed`,
      "row security hides rows of public.filtered, so pg_dump refuses to dump them",
      `"${ROLE}" cannot read 1 large object of other roles`,
    ]);
    const failed = await as.run("backup");
    expect(failed.exitCode).toBe(10);

    for (const { subject, hint } of poor.findings)
      if (subject === `main/${own}`) await admin.unsafe(hint ?? "");
    const rich = await doctor(as);
    expect(rich.wrong.filter((line) => line.includes(" server "))).toEqual([]);
    await as.ok("backup");
  } finally {
    await sql.unsafe(`drop owned by ${ROLE}`);
    await admin.unsafe(`drop role ${ROLE}`);
  }
});

test("keys that do not match each other are reported, with 12", async () => {
  await using other = await Installation.make({
    postgres: postgres.address,
    databases: [database],
    storages: (directory) => [localStorage("disk", directory)],
  });
  await other.configure({ recipients: [installation.recipient] });
  const foreign = await doctor(other);
  expect(foreign.exitCode).toBe(12);
  const opensNone = "opens no backup: it belongs to none of the recipients in the config";
  expect(foreign.of("keys", other.identityFile)).toEqual([opensNone]);

  await other.configure({ recipients: [other.recipient, installation.recipient] });
  const text = await Bun.file(other.identityFile).text();
  await writeFile(other.identityFile, text.replace(/# signer: .*\n/, ""));
  await chmod(other.identityFile, 0o644);
  expect((await doctor(other)).of("keys", other.identityFile)).toEqual([
    "opens backups sealed to 1 of 2 recipients",
    "every user of this host has access to it",
    "does not list this installation's signing key: another host that uses it would not trust these backups",
  ]);

  const key = join(other.directory, "signing.key");
  await rename(key, `${key}.away`);
  await rm(other.identityFile);
  const lost = await doctor(other);
  expect(lost.exitCode).toBe(12);
  expect(lost.of("keys")).toEqual([`no signing key at ${key}`, "there is no such file"]);
});

test("a catalog that is older, damaged, newer, or of another installation", async () => {
  await using at = await Installation.make({
    postgres: postgres.address,
    databases: [database],
    storages: (directory) => [localStorage("disk", directory)],
  });
  const path = join(at.directory, "state/catalog.db");
  expect((await doctor(at)).of("catalog")).toEqual(["does not exist yet: the first command creates it"]);
  await at.ok("backup");
  const write = (sql: string) => {
    using opened = new Database(path);
    return opened.query(sql).run();
  };
  write("UPDATE installation SET id = '00000000-0000-4000-8000-000000000000'");
  expect((await doctor(at)).of("catalog")[1] ?? "").toMatch(
    /^belongs to installation 0{8}-.*, but the signing key to /,
  );
  write("PRAGMA user_version = 3");
  expect((await doctor(at)).of("catalog")[0] ?? "").toMatch(
    /^intact, version 3; the next command makes a copy of it and upgrades/,
  );
  write("PRAGMA user_version = 9999");
  expect(await doctor(at)).toMatchObject({
    exitCode: 2,
    wrong: expect.arrayContaining([expect.stringContaining("newer pg321")]),
  });
  write("PRAGMA user_version = 3");
  write("PRAGMA wal_checkpoint(TRUNCATE)");
  const { size } = await stat(path);
  const bytes = Buffer.from(await Bun.file(path).arrayBuffer());
  bytes.fill(0xff, 4096, size / 2);
  await writeFile(path, bytes);
  const damaged = await doctor(at);
  expect(damaged.exitCode).toBe(13);
  expect(damaged.of("catalog").join()).toMatch(/damaged/);
});

describe.skipIf(!isRoot || !NOBODY)(
  "as root, with the eyes of the service (only root can take those)",
  () => {
    test("files that only root can use are reported, and the commands in the hints solve that", async () => {
      await using at = await Installation.make({
        postgres: postgres.address,
        databases: [database],
        storages: (directory) => [localStorage("disk", directory), localStorage("fixed", directory)],
      });
      const { directory } = at;
      await chmod(directory, 0o755);
      await mkdir(join(directory, "state"), { mode: 0o755 });
      await using _readOnly = await mountTmpfs(join(directory, "fixed"), 2);
      Bun.spawnSync(["mount", "-o", "remount,ro", join(directory, "fixed")]);
      for (const name of ["state", "signing.key"])
        if (NOBODY) await chown(join(directory, name), NOBODY.uid, NOBODY.gid);
      const [hook, { port }] = [join(directory, "hook"), postgres.address];
      await writeFile(hook, `http://127.0.0.1:${port}/x`, { mode: 0o600 });
      await Bun.write(`${directory}/ca.pem`, Bun.file("/etc/ssl/certs/ca-certificates.crt"), { mode: 0o600 });
      const mail = `host = "127.0.0.1"\nport = ${port}\nfrom = "a@mail.example"\nto = ["b@mail.example"]`;
      await at.configure({
        more: [
          `[[notify]]\nname = "hook"\ntype = "webhook"\nurl = { file = "${hook}" }`,
          `[[notify]]\nname = "mail"\ntype = "email"\n${mail}\nca_file = "${directory}/ca.pem"`,
        ].join("\n"),
      });
      const report = await doctor(at);
      expect(report.exitCode).toBe(2);
      expect(withoutExport(report.wrong)).toEqual([
        `failed config ${at.configFile}: user "nobody" cannot read it, so the service cannot start`,
        `failed config ${at.configFile}: user "nobody" cannot read ${hook}, so the service cannot start`,
        `failed config ${at.configFile}: user "nobody" cannot read ${directory}/ca.pem`,
        expect.stringMatching(
          /^warning keys .*: user "nobody" cannot read it: .* but not open them, so it cannot verify them$/,
        ),
        "warning directories state_dir: every user of this host has access to it",
        expect.stringMatching(/^failed storage disk: .*(permission denied|cannot write)/),
        expect.stringMatching(/^failed storage fixed: /),
      ]);
      for (const { subject, hint } of report.findings) {
        const command = hint?.replace(/^allow it: (.*); or .*$/, "$1").replaceAll(" nobody ", " nogroup ");
        if (/^(config|\/)|state_dir/.test(subject) && command)
          expect(Bun.spawnSync(["sh", "-c", command]).exitCode).toBe(0);
      }
      if (NOBODY) await chown(join(directory, "disk"), NOBODY.uid, NOBODY.gid);
      const mended = await doctor(at);
      expect(
        withoutExport(mended.wrong).filter((line) => !/ storage | notify |a secret in a file/.test(line)),
      ).toEqual([]);
      expect(mended.of("storage", "disk").at(-1) ?? "").toMatch(/disk is writable|same device/);
    });
  },
);
