import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type Authority, startAuthority } from "../../lab/machine/certificates.ts";
import { useExecutable } from "../../lab/machine/executable.ts";
import {
  CONFIG,
  connectIn,
  credentialStorage,
  printed,
  runOnceInSandbox,
  serviceConfig,
  startInstalledBox,
} from "../../lab/machine/installed-box.ts";
import type { SystemdBox } from "../../lab/machine/systemd-box.ts";
import { noBoxReason } from "../../lab/machine/systemd-box.ts";
import { type ConnectProxy, startConnectProxy } from "../../lab/servers/connect-proxy.ts";
import { portOf, rgw } from "../../lab/servers/s3.ts";
import { startTlsFront, type TlsFront } from "../../lab/servers/tls-front.ts";

const executable = useExecutable();
/** In what the unit hides. */
const CA_FILE = "/home/admin/ca.pem";
const ENVIRONMENT = "/etc/pg321/environment";

let box: SystemdBox;
let authority: Authority;
let front: TlsFront;
let proxy: ConnectProxy;
let config: (caFile: string | undefined) => string;

const backup = () => runOnceInSandbox(box, "/usr/local/bin/pg321 backup");

interface Told {
  verdict: string;
  message: string;
  hint: string | null;
}
async function doctor(area: string, ...variables: string[]): Promise<Told[]> {
  const { stdout } = await box.run("env", ...variables, "pg321", "doctor", "--json");
  const { findings } = JSON.parse(stdout) as { findings: (Told & { area: string })[] };
  return findings.filter((one) => one.area === area);
}

describe.skipIf(noBoxReason !== undefined)(
  `a company's network, in a systemd of its own${noBoxReason ? `: ${noBoxReason}` : ""}`,
  () => {
    beforeAll(async () => {
      const [installed, lab] = await Promise.all([startInstalledBox(await executable.present()), rgw()]);
      box = installed.box;
      authority = await startAuthority();
      front = await startTlsFront(portOf(lab), await authority.issue("localhost"));
      proxy = await startConnectProxy("user:s3cret");
      const address = { ...lab, endpoint: `https://localhost:${front.port}` };
      const storage = await credentialStorage(box, "bucket", address, await lab.makeBucket());
      config = (caFile) =>
        serviceConfig({
          recipient: installed.recipient,
          databases: ["shop"],
          storages: [`${storage}\nattempts = 1${caFile === undefined ? "" : `\nca_file = "${caFile}"`}`],
        });
      await using sql = await connectIn(box, "postgres");
      await sql.unsafe("create database shop template template0");
    }, 120_000);
    afterAll(async () => {
      await box?.[Symbol.asyncDispose]();
      await proxy?.[Symbol.asyncDispose]();
      await front?.[Symbol.asyncDispose]();
      await authority?.[Symbol.asyncDispose]();
    });

    test("a missing ca_file is told by check with its line, by install, and by doctor", async () => {
      await box.write(CONFIG, config(CA_FILE));
      const check = await box.run("pg321", "check");
      expect(check).toMatchObject({ exitCode: 2 });
      expect(check.stderr).toMatch(
        /config\.toml:\d+: storage\[0\]\.ca_file: \/home\/admin\/ca\.pem: there is no such file\n/,
      );
      const { steps } = await printed(box, "install", "--dry-run");
      expect(steps).toContainEqual({
        what: CA_FILE,
        state: "attention",
        detail: expect.stringContaining("there is no such file"),
      });
      expect((await doctor("config"))[0]).toMatchObject({ verdict: "failed" });
    });

    test("the sandbox hides it until install has run again; then a backup trusts the authority", async () => {
      await box.write(CA_FILE, await Bun.file(authority.file).text());
      const hidden = { verdict: "failed", message: `its sandbox hides ${CA_FILE} from the service` };
      expect(await doctor("unit")).toContainEqual(expect.objectContaining(hidden));
      await box.ok("pg321", "install");
      expect(await doctor("unit")).not.toContainEqual(expect.objectContaining(hidden));
      expect(await box.ok("pg321", "check")).toContain(`ca_file = ${CA_FILE}`);
      expect(await backup()).toMatchObject({ exitCode: 0 });
    }, 60_000);

    test("without ca_file the backup fails with the way out, until the whole host trusts the authority", async () => {
      await box.write(CONFIG, config(undefined));
      const failed = await backup();
      expect(failed.exitCode).toBe(13);
      expect(failed.printed).toContain(`the certificate of https://localhost:${front.port} is not trusted`);
      await box.write("/usr/local/share/ca-certificates/company.crt", await Bun.file(authority.file).text());
      await box.ok("update-ca-certificates");
      expect(await backup()).toMatchObject({ exitCode: 0 });
    }, 60_000);

    test("a proxy of the shell is not the service's: doctor and install say so", async () => {
      const variable = `HTTPS_PROXY=${proxy.url}`;
      const told = {
        verdict: "warning",
        message: "the service does not get HTTPS_PROXY, which this command uses",
      };
      expect(await doctor("unit", variable)).toContainEqual(expect.objectContaining(told));
      const { steps } = JSON.parse(await box.ok("env", variable, "pg321", "install", "--json"));
      expect(steps).toContainEqual(expect.objectContaining({ what: ENVIRONMENT, state: "attention" }));
      expect(JSON.stringify(steps)).not.toContain("s3cret");
      await box.write(
        "/etc/systemd/system/pg321.service.d/proxy.conf",
        `[Service]\nEnvironment="${variable}"\n`,
      );
      expect(await doctor("unit", variable)).not.toContainEqual(expect.objectContaining(told));
      await box.ok("rm", "/etc/systemd/system/pg321.service.d/proxy.conf");
    }, 60_000);

    test("with the environment file the service and commands go through the proxy, and past it for NO_PROXY", async () => {
      const host = `localhost:${front.port}`;
      const asked = async () => {
        const before = proxy.asked.length;
        expect(await backup()).toMatchObject({ exitCode: 0 });
        return new Set(proxy.asked.slice(before));
      };
      await box.write(ENVIRONMENT, `HTTPS_PROXY=${proxy.url}\n`, 0o600);
      expect(await asked()).toEqual(new Set([host]));
      expect(await box.ok("pg321", "check")).toContain(`proxy = ${proxy.place}`);
      const before = proxy.asked.length;
      const verdicts = (await doctor("unit")).map(({ verdict }) => verdict);
      expect(new Set(verdicts)).toEqual(new Set(["ok"]));
      expect(proxy.asked.length).toBeGreaterThan(before);
      await box.write(ENVIRONMENT, `HTTPS_PROXY=${proxy.url}\nNO_PROXY=localhost\n`, 0o600);
      expect(await asked()).toEqual(new Set());
    }, 60_000);

    test("a dead proxy is named, and its password nowhere", async () => {
      await box.write(ENVIRONMENT, "HTTPS_PROXY=http://user:s3cret@127.0.0.1:1\n", 0o600);
      const failed = await backup();
      expect(failed.exitCode).toBe(13);
      expect(failed.printed).toContain("no answer from the proxy 127.0.0.1:1 (ECONNREFUSED)");
      const told = (await doctor("storage")).find(({ verdict }) => verdict === "failed");
      expect(told?.message).toContain("no answer from the proxy 127.0.0.1:1 (ECONNREFUSED)");
      expect(told?.hint).toContain("HTTPS_PROXY");
      expect(failed.printed + JSON.stringify(told)).not.toContain("s3cret");
    }, 120_000);

    test("an older unit that does not pass the file on is told of", async () => {
      await box.sh("sed -i /^EnvironmentFile/d /etc/systemd/system/pg321.service");
      expect(await doctor("unit")).toContainEqual(
        expect.objectContaining({
          verdict: "warning",
          message: `it does not pass ${ENVIRONMENT} to the service`,
        }),
      );
      await box.ok("pg321", "install");
      const verdicts = (await doctor("unit")).map(({ verdict }) => verdict);
      expect(new Set(verdicts)).toEqual(new Set(["ok"]));
    });
  },
);
