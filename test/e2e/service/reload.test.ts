import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { useExecutable } from "../../lab/machine/executable.ts";
import {
  boxStorage,
  CONFIG,
  serviceConfig,
  startInstalledBox,
  UNPACKED,
} from "../../lab/machine/installed-box.ts";
import type { SystemdBox } from "../../lab/machine/systemd-box.ts";
import { noBoxReason } from "../../lab/machine/systemd-box.ts";

const executable = useExecutable();
/** A copy of the last config that was good, for commands while the config of the service is not. */
const GOOD = "/etc/pg321/good.toml";
const HOOK = "/etc/pg321/credentials/hook";
const HOOK_NOTIFIER = '[[notify]]\nname = "hook"\ntype = "webhook"\nurl = { credential = "hook" }';

let box: SystemdBox;
let recipient: string;

function configText(more = ""): string {
  const never = ["backup", "cleanup", "repair", "verify"].map((job) => `${job} = "off"`).join("\n");
  return serviceConfig({
    recipient,
    databases: ["postgres"],
    storages: [boxStorage("disk", "/srv/backups")],
    more: `[schedule]\n${never}\n[http]\nlisten = "unix:/run/pg321/http.sock"\n${more}`,
  });
}

async function service(property: string): Promise<string> {
  const text = await box.ok("systemctl", "show", "pg321.service", `--property=${property}`, "--value");
  return text.trim();
}

async function reload(): Promise<number> {
  return (await box.run("systemctl", "reload", "pg321.service")).exitCode;
}

interface Alert {
  key: string;
  level: string;
  message: string;
  resolved_at: string | null;
}

/** The newest alert about a refused config. */
async function refusal(): Promise<Alert | undefined> {
  const { alerts } = JSON.parse(await box.ok("pg321", "alerts", "--config", GOOD, "--json"));
  return alerts.find(({ key }: Alert) => key === "reload");
}

/** What `doctor` finds about the credential, as root. */
async function findings(): Promise<{ verdict: string; message: string; hint: string }[]> {
  const { stdout } = await box.run("pg321", "doctor", "--json");
  return JSON.parse(stdout).findings.filter(({ message }: { message: string }) =>
    message.startsWith('credential "hook" '),
  );
}

describe.skipIf(noBoxReason !== undefined)(
  `a reload of the service${noBoxReason ? `: ${noBoxReason}` : ""}`,
  () => {
    beforeAll(async () => {
      ({ box, recipient } = await startInstalledBox(await executable.present()));
      await box.sh("chgrp pg321 /etc/pg321/identity.txt; chmod 0640 /etc/pg321/identity.txt");
      await box.write(CONFIG, configText());
      await box.write(GOOD, configText());
      await box.ok(UNPACKED, "install");
      await box.ok("systemctl", "start", "pg321.service");
    }, 120_000);
    afterAll(async () => {
      await box?.[Symbol.asyncDispose]();
    });

    test("fails with a bad config, and an alert is open until the next good one", async () => {
      const pid = await service("MainPID");
      await box.write(CONFIG, configText("[htpt]"));
      expect(await reload()).not.toBe(0);
      const open = await box.until("an alert", refusal);
      expect(open).toMatchObject({ level: "WARNING", resolved_at: null });
      expect(open.message).toMatch(/config\.toml:\d+: .*htpt/);
      expect(await service("MainPID")).toBe(pid);
      expect(await service("ActiveState")).toBe("active");

      await box.write(CONFIG, configText("[dump]\nnice = 10"));
      expect(await reload()).toBe(0);
      await box.until("the end of the alert", async () => (await refusal())?.resolved_at);
      const journal = await box.ok("journalctl", "--unit=pg321.service", "--output=cat");
      // Said by the daemon, and not again by the process that asked it to reload.
      expect(journal.match(/^.*htpt.*$/gm)).toHaveLength(1);
    }, 60_000);

    test("cannot bring a new credential; doctor says so beforehand", async () => {
      await box.write(HOOK, "http://127.0.0.1:9/\n", 0o600);
      await box.write(CONFIG, configText(HOOK_NOTIFIER));
      expect(await findings()).toEqual([
        expect.objectContaining({
          verdict: "warning",
          message: expect.stringContaining('credential "hook" is newer than the start of the service'),
          hint: expect.stringContaining("systemctl restart pg321"),
        }),
      ]);
      expect(await reload()).not.toBe(0);
      await box.ok("journalctl", "--sync");
      const journal = await box.ok("journalctl", "--unit=pg321.service", "--output=cat");
      expect(journal).toMatch(
        /credential \\?"hook\\?" .*only when the service starts.*systemctl restart pg321/,
      );
      await box.until("an alert", async () => (await refusal())?.resolved_at === null);

      await box.ok("systemctl", "restart", "pg321.service");
      await box.until("the end of the alert", async () => (await refusal())?.resolved_at);
      expect(await findings()).toEqual([]);
    }, 60_000);

    test("keeps the old value of a credential; doctor says so", async () => {
      await box.write(HOOK, "http://127.0.0.1:10/\n", 0o600);
      expect(await findings()).toEqual([
        expect.objectContaining({
          verdict: "warning",
          message: expect.stringContaining('credential "hook" has changed since the start of the service'),
        }),
      ]);
    });
  },
);
