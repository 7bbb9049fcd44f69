import { EXIT_CODES } from "../../base/errors.ts";
import { openCatalog, spoolOf } from "../../catalog/open.ts";
import { configPath, loadConfig, processSource } from "../../config/load.ts";
import { Daemon } from "../../daemon/daemon.ts";
import { holdDaemonLease } from "../../daemon/daemon-lease.ts";
import { Heartbeat } from "../../daemon/heartbeat.ts";
import { askForReload, verdictTeller } from "../../daemon/reload-verdict.ts";
import { notifierAt, watchdogPauseMs } from "../../daemon/systemd.ts";
import { HttpEndpoint } from "../../http/endpoint.ts";
import { closeRuns } from "../../jobs/close-runs.ts";
import { sweepKeyFile } from "../../sealed/key-file.ts";
import type { Command } from "../command.ts";
import { isSet, textOption } from "../command.ts";
import { commandConfig } from "../open-context.ts";
import { logProgress } from "../output/progress.ts";

export const command: Command = {
  usage: "",
  description:
    "Runs backup, cleanup, verify and repair at the times in [schedule], until it is stopped by SIGTERM or Ctrl-C. On\n" +
    "SIGHUP it loads the changed config; if that has mistakes, the previous config stays in force. Other commands can\n" +
    "run at the same time. Exit 11 if another daemon uses this catalog.",
  options: {
    reload: {
      type: "boolean",
      help: "tell the running service to load the changed config, and wait: exit 2 if it refuses (ExecReload of the unit)",
    },
  },
  examples: [
    { command: "pg321 run", explanation: "in the foreground; pg321 install sets up the service" },
    { command: "systemctl reload pg321", explanation: "let the service load the changed config" },
  ],
  positionals: { min: 0, max: 0 },
  async run(invocation) {
    const { arguments: args, env, log, clock, signal } = invocation;
    if (isSet(args, "reload")) {
      const verdict = await askForReload(env, invocation);
      if (verdict === undefined)
        log.warning("the running daemon is an older version: its log has the outcome");
      return EXIT_CODES.ok;
    }
    const reloads = new EventTarget();
    // A SIGHUP before the daemon is open may be about a newer config than the one that the daemon starts with.
    let isAskedEarly = false;
    reloads.addEventListener("reload", () => {
      isAskedEarly = true;
    });
    process.on("SIGHUP", () => reloads.dispatchEvent(new Event("reload")));
    const notify = await notifierAt(env["NOTIFY_SOCKET"]);
    const config = await commandConfig(invocation);
    const self = { host: config.fleet.host, pid: process.pid };
    await using catalog = await openCatalog(config.catalog, { clock, log, spool: spoolOf(config) });
    await using lease = await holdDaemonLease(catalog, self, {
      clock,
      signal,
      onWait: ({ host, pid, expires_at }) =>
        log.info("waiting for the lease of a daemon that this process cannot see", {
          host,
          pid,
          at_most_until: expires_at,
        }),
    });
    await closeRuns({ catalog, clock, config, ...self });
    // A killed command may have left a secret there. The installed service may not write to /etc; the next rotation does.
    const { identity_file, signing_key_file } = config.encryption;
    for (const file of [identity_file, signing_key_file]) if (file !== undefined) await sweepKeyFile(file);
    const daemon = await Daemon.open({
      config,
      catalog,
      lease,
      log,
      clock,
      notify,
      isService: Boolean(env["NOTIFY_SOCKET"]),
      progress: logProgress(log, clock),
      watchdogPauseMs: watchdogPauseMs(env, process.pid),
      loadConfig: () => loadConfig(configPath(textOption(args, "config"), env), processSource()),
      onReload: await verdictTeller(env, log),
      onConfig: (changed) => endpoint.reconfigure(changed),
    });
    const endpoint = new HttpEndpoint({ live: daemon, log, clock });
    await endpoint.open(config);
    reloads.addEventListener("reload", () => void daemon.reload());
    await using _beating = await Heartbeat.start({ live: daemon, catalog, lease, clock, log });
    log.info("started", { config_file: config.file, pid: process.pid });
    const running = daemon.run(signal).finally(() => endpoint.close());
    if (isAskedEarly) void daemon.reload();
    await running;
    log.info("stopped");
    return EXIT_CODES.ok;
  },
};
