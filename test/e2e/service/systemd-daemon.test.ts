import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { ListMultipartUploadsCommand, ListObjectsV2Command } from "@aws-sdk/client-s3";
import { MARK } from "../../../src/jobs/temp-dir.ts";
import { MARKER_KEY } from "../../../src/storage/marker.ts";
import { contentsOf } from "../../lab/data/compare-databases.ts";
import { fillSampleDatabase } from "../../lab/data/sample-database.ts";
import { useExecutable } from "../../lab/machine/executable.ts";
import {
  boxStorage,
  CONFIG,
  connectIn,
  credentialStorage,
  printed,
  serviceConfig,
  startInstalledBox,
  UNPACKED,
  unpack,
} from "../../lab/machine/installed-box.ts";
import type { SystemdBox } from "../../lab/machine/systemd-box.ts";
import { noBoxReason } from "../../lab/machine/systemd-box.ts";
import { holdAt, isManifest } from "../../lab/servers/held-requests.ts";
import { type HttpProxy, startHttpProxy } from "../../lab/servers/http-proxy.ts";
import { rgw, type S3Lab } from "../../lab/servers/s3.ts";

const executable = useExecutable();
const DISK = "/srv/backups";
const NEVER = "0 0 29 2 *";
const EVERY_SECOND = "* * * * * *";
/** Shortens systemd's waiting times, and changes nothing else. */
const HURRIED = "[Service]\nRestartSec=100ms\nWatchdogSec=3\nTimeoutAbortSec=1\nTimeoutStopSec=2\n";

let box: SystemdBox;
let recipient: string;
let lab: S3Lab;
let bucket: string;
let proxy: HttpProxy;

interface Settings {
  backup?: string;
  storages?: string[];
  grace?: string;
}

async function configText({ backup = NEVER, storages = [], grace = "60s" }: Settings = {}): Promise<string> {
  const s3 = await credentialStorage(box, "bucket", { ...lab, endpoint: proxy.endpoint }, bucket);
  const schedule = [
    "[schedule]",
    ...[`backup = "${backup}"`, `cleanup = "${NEVER}"`, `repair = "${NEVER}"`, `verify = "${NEVER}"`],
    ...['catch_up = "0"', "retries = 0", `shutdown_grace = "${grace}"`],
    ...["[http]", 'listen = "unix:/run/pg321/http.sock"', "[compression]", 'algorithm = "none"'],
  ];
  return serviceConfig({
    recipient,
    databases: ["shop"],
    storages: [boxStorage("disk", DISK), s3, ...storages],
    more: schedule.join("\n"),
  });
}

/** The service's properties in systemd. */
async function shown(...names: string[]): Promise<Record<string, string>> {
  const lines = (await box.ok("systemctl", "show", "pg321.service", `--property=${names.join()}`))
    .trim()
    .split("\n");
  return Object.fromEntries(
    lines.map((line) => [line.slice(0, line.indexOf("=")), line.slice(line.indexOf("=") + 1)]),
  );
}

const mainPid = async () => (await shown("MainPID"))["MainPID"] as string;
/** The service's log since its last start. */
const logged = async (...words: string[]) => {
  const { InvocationID } = await shown("InvocationID");
  await box.ok("journalctl", "--sync");
  return box.ok("journalctl", `_SYSTEMD_INVOCATION_ID=${InvocationID}`, "--output=cat", ...words);
};

async function reloadWith(text: string): Promise<void> {
  await box.write(CONFIG, text);
  await box.ok("systemctl", "reload", "pg321.service");
}

interface Backup {
  id: string;
  status: string;
  object_key: string;
  copies: { storage: string; state: string }[];
}

const backups = async (): Promise<Backup[]> => (await printed(box, "list")).backups;

/** Checks that there is no upload, no temporary file, no object without a record and no record without an object. */
async function expectTidy(): Promise<void> {
  const all = await backups();
  expect(all.filter(({ status }) => status === "RUNNING")).toEqual([]);
  const confirmed = (storage: string) =>
    all.filter(({ copies }) => copies.some((copy) => copy.storage === storage && copy.state === "CONFIRMED"));
  const expected = (storage: string) =>
    confirmed(storage)
      .flatMap(({ object_key }) => [object_key, `${object_key}.json`])
      .concat(MARKER_KEY)
      .sort();
  const files = (await box.sh(`cd ${DISK}; find . -type f -printf '%P\\n'`)).trim().split("\n");
  expect(files.sort()).toEqual(expected("disk"));
  const { Contents = [] } = await lab.client.send(new ListObjectsV2Command({ Bucket: bucket }));
  expect(Contents.map(({ Key = "" }) => Key.replace(/^pg321\//, "")).sort()).toEqual(expected("bucket"));
  const { Uploads = [] } = await lab.client.send(new ListMultipartUploadsCommand({ Bucket: bucket }));
  expect(Uploads).toEqual([]);
  expect((await box.sh("ls -A /var/lib/pg321/tmp")).trim()).toBe(MARK);
}

describe.skipIf(noBoxReason !== undefined)(
  `in a systemd of its own${noBoxReason ? `: ${noBoxReason}` : ""}`,
  () => {
    beforeAll(async () => {
      const [installed, started] = await Promise.all([startInstalledBox(await executable.present()), rgw()]);
      ({ box, recipient } = installed);
      lab = started;
      bucket = await lab.makeBucket();
      proxy = startHttpProxy(lab.endpoint);
      await box.sh("chgrp pg321 /etc/pg321/identity.txt; chmod 0640 /etc/pg321/identity.txt");
      await box.write(CONFIG, await configText());
      await box.write("/etc/systemd/system/pg321.service.d/hurried.conf", HURRIED);
      await box.ok(UNPACKED, "install");
      await using sql = await connectIn(box, "postgres");
      await sql.unsafe("create database shop template template0");
      await using shop = await connectIn(box, "shop");
      await fillSampleDatabase(shop);
    }, 120_000);
    afterAll(async () => {
      await box?.[Symbol.asyncDispose]();
      await proxy?.[Symbol.asyncDispose]();
    });

    test("it starts, and tells systemd when it is ready and what comes next", async () => {
      await box.ok("systemctl", "enable", "--now", "pg321.service");
      expect(await shown("ActiveState", "SubState", "UnitFileState", "StatusText", "NRestarts")).toEqual({
        ActiveState: "active",
        SubState: "running",
        UnitFileState: "enabled",
        NRestarts: "0",
        StatusText: expect.stringMatching(/^idle; next: \w+ at \d{4}-/),
      });
      expect(await box.ok("ps", "-o", "user=,args=", "-p", await mainPid())).toMatch(
        /^pg321 +\/usr\/local\/bin\/pg321 run\n$/,
      );
    });

    test("it answers at its socket, in the directory that the unit creates", async () => {
      const curl = ["curl", "--silent", "--show-error", "--unix-socket", "/run/pg321/http.sock"];
      expect(JSON.parse(await box.ok(...curl, "http://localhost/health"))).toEqual({ status: "ok" });
      expect(await box.ok(...curl, "http://localhost/metrics")).toContain("pg321_build_info");
    });

    test("a backup runs when it is due, with everything it needs, and its restore is identical", async () => {
      await reloadWith(await configText({ backup: EVERY_SECOND }));
      const verified = await box.until("a verified backup", async () =>
        (await backups()).find(({ status }) => status === "VERIFIED"),
      );
      await reloadWith(await configText());
      expect(verified.copies).toMatchObject([
        { storage: "bucket", state: "CONFIRMED" },
        { storage: "disk", state: "CONFIRMED" },
      ]);
      await box.until("the end of the runs", async () =>
        (await shown("StatusText"))["StatusText"]?.startsWith("idle"),
      );
      await using admin = await connectIn(box, "postgres");
      await admin.unsafe("create database restored template template0");
      const asPostgres = "setpriv --reuid=postgres --regid=postgres --init-groups";
      await box.sh(
        `cd /; pg321 restore ${verified.id} --output - | ${asPostgres} pg_restore --exit-on-error -d restored`,
      );
      await using source = await connectIn(box, "shop");
      await using restored = await connectIn(box, "restored");
      expect((await contentsOf(restored)).facts).toEqual((await contentsOf(source)).facts);
      await expectTidy();
    }, 60_000);

    test("an invalid config is refused and reported, and the previous one stays; a valid one is used", async () => {
      const pid = await mainPid();
      await box.write(CONFIG, (await configText()).replace("[http]", "[htpt]"));
      expect((await box.run("systemctl", "reload", "pg321.service")).exitCode).not.toBe(0);
      await box.until("the refusal", async () =>
        (await shown("StatusText"))["StatusText"]?.includes("refused"),
      );
      expect(await mainPid()).toBe(pid);
      expect(await logged("--priority=err")).toMatch(/^the new config was refused error=.*htpt/m);
      await reloadWith(await configText({ grace: "59s" }));
      await box.until(
        "the new config",
        async () => !(await shown("StatusText"))["StatusText"]?.includes("refused"),
      );
      expect(await shown("MainPID", "ActiveState", "NRestarts")).toEqual({
        MainPID: pid,
        ActiveState: "active",
        NRestarts: "0",
      });
    });

    test("journalctl shows lines to read, filters by priority, and has the fields", async () => {
      const records = (await logged("--output=json", "--all")).trim().split("\n");
      const all: Record<string, string>[] = records.map((line) => JSON.parse(line));
      const own = all.filter((entry) => "PG321_EVENT" in entry);
      expect(own.find((entry) => entry["PG321_EVENT"] === "backup done")).toMatchObject({
        MESSAGE: expect.stringMatching(/^backup done server=main database=shop /),
        ...{ PRIORITY: "6", SYSLOG_IDENTIFIER: "pg321", _SYSTEMD_UNIT: "pg321.service" },
        ...{ PG321_SERVER: "main", PG321_DATABASE: "shop" },
      });
      const refused = own.find((entry) => entry["PG321_EVENT"] === "the new config was refused");
      expect(refused).toMatchObject({ PRIORITY: "3", PG321_ERROR: expect.stringContaining("htpt") });
      // `run --reload` of the unit prints its error as text.
      const bad = (await logged("--priority=err")).replace(/^(error|hint): .*\n/gm, "");
      const errors = own.filter((one) => one["PRIORITY"] === "3").map((one) => `${one["MESSAGE"]}\n`);
      expect(bad).toBe(errors.join(""));
      expect(await logged()).not.toMatch(/^[<{]/m);
    });

    test("nobody else can see its secrets, and they appear nowhere else", async () => {
      const secret = lab.secret_access_key;
      const pid = await mainPid();
      const credential = "/run/credentials/pg321.service/pg321_bucket-secret";
      expect(await box.ok("cat", credential)).toBe(`${secret}\n`);
      for (const file of [credential, `/proc/${pid}/root${credential}`, `/proc/${pid}/environ`]) {
        const { exitCode } = await box.run(
          "setpriv",
          "--reuid=65534",
          "--regid=65534",
          "--clear-groups",
          "cat",
          file,
        );
        expect([file, exitCode]).toEqual([file, 1]);
      }
      const places = [
        await box.sh("cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline 2>/dev/null || :"),
        await box.ok("systemctl", "show", "pg321.service"),
        await box.ok("systemctl", "status", "pg321.service"),
        await box.ok("journalctl", "--output=export"),
      ];
      expect(places.filter((text) => text.includes(secret))).toEqual([]);
      expect(places.filter((text) => !text.includes("pg321"))).toEqual([]);
      expect((await box.run("grep", "-rlF", secret, "/var/lib/pg321", DISK, "/run/pg321")).stdout).toBe("");
    });

    test("a storage that the sandbox does not make writable causes a warning until install has run again", async () => {
      const more = { storages: [boxStorage("more", "/srv/more")] };
      await reloadWith(await configText(more));
      await box.until("the warning", async () =>
        /may not write.*\/srv\/more/.test(await logged("--priority=warning")),
      );
      const report = await printed(box, "install");
      expect(report.next.join()).toContain("sudo systemctl restart pg321");
      await box.ok("systemctl", "restart", "pg321.service");
      expect(await logged("--priority=warning")).not.toContain("/srv/more");
      await reloadWith(await configText());
    });

    test("a hanging daemon is killed by the watchdog and soon restarted", async () => {
      const pid = await mainPid();
      await box.ok("kill", "-STOP", pid);
      const after = await box.until("another process that is ready", async () => {
        const state = await shown("MainPID", "ActiveState", "NRestarts");
        return state["MainPID"] !== pid && state["ActiveState"] === "active" && state;
      });
      expect(after["NRestarts"]).toBe("1");
      const journal = await box.ok("journalctl", "--unit=pg321.service", "--output=cat");
      expect(journal).toMatch(/Watchdog timeout \(limit 3s\)!/);
      expect(journal).toContain("Failed with result 'watchdog'.");
    }, 60_000);

    test("kill -9 in the middle of a backup: the next start closes the run and leaves nothing behind", async () => {
      const isHeld = holdAt(proxy, "before", isManifest);
      const before = (await backups()).length;
      await reloadWith(await configText({ backup: EVERY_SECOND }));
      await box.until("an upload", async () => isHeld());
      expect((await backups()).filter(({ status }) => status === "RUNNING")).toHaveLength(1);
      const pid = await mainPid();
      await box.write(CONFIG, await configText());
      await box.ok("kill", "-9", pid);
      await box.until("another process that is ready", async () => {
        const state = await shown("MainPID", "ActiveState");
        return state["MainPID"] !== pid && state["ActiveState"] === "active";
      });
      proxy.answer = (request) => request.forward();
      expect((await box.run("pgrep", "-x", "pg_dump")).exitCode).toBe(1);
      await box.until("the end of the interrupted run", async () =>
        (await backups()).every(({ status }) => status !== "RUNNING"),
      );
      expect((await backups()).length).toBeGreaterThanOrEqual(before + 1);
      await box.ok("pg321", "backup");
      await expectTidy();
    }, 60_000);

    test("a stop in the middle of a backup gives it time, which systemd allows, then ends it cleanly", async () => {
      await box.ok("systemctl", "restart", "pg321.service");
      const isHeld = holdAt(proxy, "before", isManifest);
      await reloadWith(await configText({ backup: EVERY_SECOND, grace: "4s" }));
      await box.until("an upload", async () => isHeld());
      await box.ok("systemctl", "stop", "pg321.service");
      expect(await shown("ActiveState", "Result", "MainPID")).toEqual({
        ActiveState: "inactive",
        Result: "success",
        MainPID: "0",
      });
      proxy.answer = (request) => request.forward();
      await box.write(CONFIG, await configText());
      await box.ok("pg321", "backup");
      await expectTidy();
    }, 60_000);

    test("with an invalid config it is not restarted again and again", async () => {
      await box.write(CONFIG, (await configText()).replace("[http]", "[htpt]"));
      expect((await box.run("systemctl", "start", "pg321.service")).exitCode).not.toBe(0);
      expect(await shown("ActiveState", "SubState", "ExecMainStatus", "NRestarts")).toEqual({
        ActiveState: "failed",
        SubState: "failed",
        ExecMainStatus: "2",
        NRestarts: "0",
      });
      expect(await logged("--priority=err")).toContain("htpt");
      await box.write(CONFIG, await configText());
      await box.ok("systemctl", "start", "pg321.service");
    });

    test("an upgrade reports that an older version is still running", async () => {
      const running = (await box.ok("pg321", "--version")).trim();
      await unpack(box, await executable.as("9.9.9"));
      await box.ok(UNPACKED, "install");
      const again = JSON.parse(await box.ok(UNPACKED, "install", "--json"));
      expect(again.steps.length).toBeGreaterThan(5);
      expect(again.steps.every(({ state }: { state: string }) => state === "right" || state === "kept")).toBe(
        true,
      );
      expect(again.next).toEqual([expect.stringContaining(`it still runs ${running}`)]);
      await box.ok("systemctl", "restart", "pg321.service");
      expect(JSON.parse(await box.ok(UNPACKED, "install", "--json")).next).toEqual([]);
    }, 60_000);

    test("uninstall stops the service and touches no backup", async () => {
      const before = await box.sh(`find ${DISK} /var/lib/pg321/catalog.db -type f | sort`);
      await box.ok("pg321", "uninstall");
      expect((await box.run("systemctl", "is-active", "pg321.service")).stdout).toBe("inactive\n");
      expect((await box.run("pgrep", "-x", "pg321")).exitCode).toBe(1);
      expect(await box.sh("find /etc/systemd/system -name 'pg321*' ! -name '*.d'")).toBe("");
      expect(await box.sh(`find ${DISK} /var/lib/pg321/catalog.db -type f | sort`)).toBe(before);
    });
  },
);
