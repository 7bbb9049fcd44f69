import { beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { DaemonLab } from "../../lab/daemon-lab.ts";
import { Installation, localStorage } from "../../lab/installation.ts";
import { mountHanging, noHanging } from "../../lab/machine/mounts.ts";
import { watched } from "../../lab/machine/running.ts";
import { usePostgres } from "../../lab/servers/use-postgres.ts";

setDefaultTimeout(60_000);

const why = noHanging();
const postgres = usePostgres();
let app: string;

beforeAll(async () => {
  app = await postgres.createDatabase();
});

const storages = (directory: string) => [
  localStorage("hung", directory, { stall_timeout: "1s" }),
  localStorage("lost", directory, { stall_timeout: "1s" }),
  localStorage("disk", directory),
];

/** Until it is disposed of, `hung` and `lost` answer no call. */
async function hanging(installation: Installation): Promise<AsyncDisposable> {
  const mounts = new AsyncDisposableStack();
  for (const name of ["hung", "lost"]) {
    const mount = mounts.use(await mountHanging(join(installation.directory, name)));
    await mount.hang();
  }
  return mounts;
}

// CI runs as root, with /dev/fuse.
describe.skipIf(why !== undefined)(`two mounts that hang${why ? `: ${why}` : ""}`, () => {
  test("a backup skips them, names them, and ends", async () => {
    await using installation = await Installation.make({
      postgres: postgres.address,
      databases: [app],
      storages,
    });
    await using _mounts = await hanging(installation);
    const { exitCode, json, stderr } = await installation.run("backup", "--json");
    expect(stderr).not.toContain("databases of a server could not be listed");
    expect(exitCode).toBe(3);
    const copies = Object.fromEntries(
      // biome-ignore lint/suspicious/noExplicitAny: as printed.
      json.backups[0].copies.map((copy: any) => [copy.storage, copy.state ?? copy.error]),
    );
    expect(copies["disk"]).toBe("CONFIRMED");
    expect(stderr).toMatch(/hung/);
  });

  test("doctor reports them", async () => {
    await using installation = await Installation.make({
      postgres: postgres.address,
      databases: [app],
      storages,
    });
    await using _mounts = await hanging(installation);
    const { exitCode, json } = await installation.run("doctor", "--json");
    expect(exitCode).toBe(13);
    // biome-ignore lint/suspicious/noExplicitAny: as printed.
    const failed = json.findings.filter(({ verdict }: any) => verdict === "failed");
    // biome-ignore lint/suspicious/noExplicitAny: as printed.
    expect(failed.map(({ subject }: any) => subject).sort()).toEqual(["hung", "lost"]);
  });

  test("the daemon checks them, backs up to the other storage, stays healthy, and ends by SIGTERM", async () => {
    await using lab = await DaemonLab.make({
      postgres: postgres.address,
      databases: [app],
      schedule: 'backup = "* * * * * *"',
      storages,
    });
    const { installation } = lab;
    await using _mounts = await hanging(installation);
    const daemon = await lab.start();
    for (let reloads = 1; reloads <= 3; reloads++) {
      daemon.kill("SIGHUP");
      await daemon.until("the config is read again", () => {
        return daemon.stderr().split("a new config is in force").length > reloads;
      });
    }
    await lab.until(daemon, "backup", "PARTIAL", 2);
    const unix = join(installation.directory, "http.sock");
    expect((await fetch("http://localhost/health", { unix })).status).toBe(200);
    daemon.kill("SIGTERM");
    expect((await daemon.ended).exitCode).toBe(0);
  });

  test("a hanging temp_dir does not keep a command from ending by SIGTERM", async () => {
    await using installation = await Installation.make({
      postgres: postgres.address,
      databases: [app],
      storages,
    });
    const config = await readFile(installation.configFile, "utf8");
    const hung = JSON.stringify(join(installation.directory, "hung"));
    await writeFile(installation.configFile, `temp_dir = ${hung}\n${config}`);
    await using _mounts = await hanging(installation);
    const running = watched(installation.start("backup"));
    const helperOf = () =>
      Bun.spawnSync(["pgrep", "-P", String(running.pid), "-x", "stat"]).stdout.length > 0;
    await running.until("it asks temp_dir", helperOf);
    running.kill("SIGTERM");
    expect((await running.ended).exitCode).toBe(143);
  });

  test("an identity on them is reported and does not keep a command from ending", async () => {
    await using installation = await Installation.make({
      postgres: postgres.address,
      databases: [app],
      storages,
    });
    await installation.ok("backup");
    const config = await readFile(installation.configFile, "utf8");
    const hung = JSON.stringify(join(installation.directory, "hung", "identity.txt"));
    await writeFile(
      installation.configFile,
      config.replace(/^identity_file = .*$/m, `identity_file = ${hung}`),
    );
    await using _mounts = await hanging(installation);
    const { exitCode, stderr } = await installation.run("verify", "--all");
    expect({ exitCode, stderr }).toEqual({
      exitCode: 12,
      stderr: expect.stringMatching(/identity file .*hung.identity.txt: no answer for 20 s/),
    });
  });
});
