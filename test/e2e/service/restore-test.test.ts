import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { fillSampleDatabase } from "../../lab/data/sample-database.ts";
import { useExecutable } from "../../lab/machine/executable.ts";
import {
  boxStorage,
  CONFIG,
  connectIn,
  printed,
  runOnceInSandbox,
  serviceConfig,
  startInstalledBox,
} from "../../lab/machine/installed-box.ts";
import type { SystemdBox } from "../../lab/machine/systemd-box.ts";
import { noBoxReason } from "../../lab/machine/systemd-box.ts";

const executable = useExecutable();
const CLUSTERS = "find /var/lib/pg321 -name 'pg321-cluster-*'";
/** With it the path of the cluster's socket is longer than the system allows. */
const DEEP = `/var/lib/pg321/${"deep".repeat(20)}`;

let box: SystemdBox;

describe.skipIf(noBoxReason !== undefined)(
  `restore tests of an installed host${noBoxReason ? `: ${noBoxReason}` : ""}`,
  () => {
    beforeAll(async () => {
      const installed = await startInstalledBox(await executable.present());
      box = installed.box;
      const config = (more: string) =>
        serviceConfig({
          recipient: installed.recipient,
          databases: ["shop"],
          storages: [boxStorage("disk", "/srv/backups")],
          // The box shares this machine's network: `status` must not ask a daemon of somebody else.
          more: `${more}[http]\nlisten = "off"\n[restore_test]`,
        });
      await box.write(CONFIG, config(""));
      await box.write("/etc/pg321/deep.toml", `temp_dir = "${DEEP}"\n${config("")}`);
      await box.ok("pg321", "install");
      await box.ok("install", "-d", "-o", "pg321", "-g", "pg321", DEEP);
      await box.sh("chgrp pg321 /etc/pg321/*.t*; chmod 0640 /etc/pg321/*.t*");
      await using sql = await connectIn(box, "postgres");
      await sql.unsafe("create database shop template template0");
      await using shop = await connectIn(box, "shop");
      await fillSampleDatabase(shop);
      await box.ok("pg321", "backup");
    }, 120_000);
    afterAll(() => box?.[Symbol.asyncDispose]());

    test("a cluster that does not start gives its reason in one line, which status repeats", async () => {
      const postgres = (await box.sh("ls /usr/lib/postgresql/*/bin/postgres | sort -V | tail -1")).trim();
      const script = `#!/bin/sh\n[ "$1" = -D ] || exec ${postgres}.real "$@"\necho "no luck today" >&2\nexit 1\n`;
      await box.ok("mv", postgres, `${postgres}.real`);
      await box.write(postgres, script, 0o755);
      const { exitCode, stdout } = await box.run("pg321", "restore-test", "--json");
      await box.ok("mv", `${postgres}.real`, postgres);
      const error = "the throwaway cluster did not start: no luck today";
      expect({ exitCode, tests: JSON.parse(stdout).tests }).toMatchObject({
        exitCode: 10,
        tests: [{ outcome: "ERROR", error }],
      });
      expect(JSON.stringify(await printed(box, "status"))).toContain(
        `the last restore test could not be carried out: ${error}"`,
      );
    }, 60_000);

    test.each([CONFIG, "/etc/pg321/deep.toml"])(
      "the service starts a throwaway cluster in its sandbox, with %s",
      async (config) => {
        const run = await runOnceInSandbox(box, `/usr/local/bin/pg321 --config ${config} restore-test`);
        expect(run).toMatchObject({ exitCode: 0, printed: expect.stringContaining("PASSED") });
        expect(await box.sh(CLUSTERS)).toBe("");
      },
      60_000,
    );

    test.each([CONFIG, "/etc/pg321/deep.toml"])(
      "root, which becomes the owner, reaches the throwaway cluster, with %s",
      async (config) => {
        const { tests } = await printed(box, "--config", config, "restore-test", "-d", "shop");
        expect(tests).toMatchObject([{ database: "shop", outcome: "PASSED", error: null }]);
        expect(await box.sh(CLUSTERS)).toBe("");
      },
      60_000,
    );

    test("the daemon carries out a due restore test within its unit, and stays ready", async () => {
      const off = ["backup", "cleanup", "verify", "repair"].map((job) => `${job} = "off"`).join("\n");
      const config = await box.ok("cat", CONFIG);
      await box.write(CONFIG, `${config}\n[schedule]\n${off}\nrestore_test = "* * * * * *"\ncatch_up = 0\n`);
      const started = new Date().toISOString();
      // The unit is of Type=notify: this returns once the daemon is ready.
      await box.ok("systemctl", "start", "pg321.service");
      const tested = await box.until("a restore test by the schedule", async () => {
        const { schedules } = await printed(box, "status");
        const { last_run } = schedules.find(({ job }: { job: string }) => job === "restore-test") ?? {};
        return last_run?.started_at > started && last_run;
      });
      expect(tested).toMatchObject({ outcome: "OK", schedule: "restore-test", error: null });
      const { backups } = await printed(box, "list");
      const { restore_test } = await printed(box, "show", backups[0].id);
      expect(restore_test).toMatchObject({
        outcome: "PASSED",
        target: "throwaway",
        run_id: expect.any(String),
      });
      const properties = "--property=ActiveState,SubState,NRestarts";
      expect(
        (await box.ok("systemctl", "show", "pg321.service", properties)).trim().split("\n").sort(),
      ).toEqual(["ActiveState=active", "NRestarts=0", "SubState=running"]);
      await box.ok("systemctl", "stop", "pg321.service");
      await box.write(CONFIG, config);
      await box.sh(`chgrp pg321 ${CONFIG}; chmod 0640 ${CONFIG}`);
      expect(await box.sh(CLUSTERS)).toBe("");
    }, 60_000);
  },
);
