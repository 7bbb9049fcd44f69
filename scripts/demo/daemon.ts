import { freePort } from "../../test/lab/servers/free-port.ts";
import type { Narrator } from "./narrator.ts";
import { DemoError } from "./narrator.ts";
import type { Running, Stage } from "./stage.ts";

/** How long the daemon may take for its scheduled jobs. */
const PATIENCE_MS = 60_000;
/** The first backup is due after this time, and the cleanup this much later. */
const AHEAD_MS = 3_000;
const CLEANUP_AFTER_MS = 3_000;

export interface DaemonScene {
  /** The address of its page. */
  address: string;
  daemon: Running;
}

/** Shows the daemon: a scheduled backup and cleanup, and how monitoring and an operator see them. */
export async function showDaemon(
  stage: Stage,
  narrator: Narrator,
  { stay, signal }: { stay: boolean; signal: AbortSignal },
): Promise<DaemonScene> {
  await narrator.scene(
    "The daemon",
    "As a service pg321 follows its schedule and reports its state. Here a backup is due in a few seconds and a cleanup right after it; the times are in the config, as usual.",
  );
  const port = await freePort();
  const address = `http://127.0.0.1:${port}`;
  await stage.append("config.toml", scheduleText(port, new Date(Date.now() + AHEAD_MS), stay));
  await stage.show("tail -n 8 config.toml");
  await narrator.say("");
  await stage.show("pg321 schedule --count 1");
  await narrator.say("");
  const daemon = await stage.start("pg321 run", "daemon.log");
  await waitUntil(
    "the daemon to be ready",
    { signal, daemon, stage },
    async () => (await fetch(`${address}/ready`)).ok,
  );
  await stage.show(`curl -s ${address}/health`);
  await narrator.say("", narrator.style.dim("… the scheduled backup and cleanup run …"), "");
  await waitUntil("the scheduled backup and cleanup", { signal, daemon, stage }, async () => {
    const { jobs } = (await (await fetch(`${address}/status?format=json`)).json()) as StatusJobs;
    const isDone = (job: string) =>
      jobs.some(
        ({ job: name, last_run }) => name === job && last_run?.schedule === job && last_run.outcome === "OK",
      );
    return isDone("backup") && isDone("cleanup");
  });
  await stage.show(`curl -s ${address}/status`);
  await narrator.say("");
  await stage.show(
    `curl -s ${address}/metrics | \\\n    grep -E '^pg321_(backup_last_success|backup_interval|copies\\{|runs_total.*"OK"|alerts_open)'`,
  );
  return { address, daemon };
}

/** Stops it as systemd does. */
export async function stopDaemon(narrator: Narrator, { daemon }: DaemonScene): Promise<void> {
  const exitCode = await daemon.end();
  if (exitCode !== 0) throw new DemoError(`the daemon ended with ${exitCode}, expected 0`);
  await narrator.say("", narrator.style.dim("(stopped by SIGTERM, the daemon ended with 0)"));
}

type StatusJobs = {
  jobs: { job: string; last_run: { outcome: string; schedule: string | null } | null }[];
};

/** A schedule for every day, a few seconds from now; for every minute with --stay. */
function scheduleText(port: number, backupAt: Date, isEveryMinute: boolean): string {
  const cleanupAt = new Date(backupAt.getTime() + CLEANUP_AFTER_MS);
  const hours = (at: Date) => (isEveryMinute ? "* *" : `${at.getUTCMinutes()} ${at.getUTCHours()}`);
  const timeOf = (at: Date) => `${at.getUTCSeconds()} ${hours(at)} * * *`;
  return `
[schedule]                     # seconds, minutes, hours, days …; five fields (without seconds) work too
backup = "${timeOf(backupAt)}"
cleanup = "${timeOf(cleanupAt)}"
verify = "@weekly"
repair = "@daily"

[http]
listen = "127.0.0.1:${port}"
`;
}

async function waitUntil(
  what: string,
  { signal, daemon, stage }: { signal: AbortSignal; daemon: Running; stage: Stage },
  isTrue: () => Promise<boolean>,
): Promise<void> {
  const untilMs = performance.now() + PATIENCE_MS;
  for (;;) {
    signal.throwIfAborted();
    if (await isTrue().catch(() => false)) return;
    if (!daemon.isRunning() || performance.now() > untilMs) {
      const log = await Bun.file(stage.path("daemon.log")).text();
      throw new DemoError(`timed out waiting for ${what}; the daemon's log:\n${log}`);
    }
    await Bun.sleep(50);
  }
}
