import { createInterface } from "node:readline/promises";
import { Writable } from "node:stream";
import { endedBy, Pg321Error } from "../base/errors.ts";
import { isRoot } from "../base/process/become-user.ts";
import type { Config } from "../config/config.ts";
import { configPath, type LoadOptions, loadConfig, processSource } from "../config/load.ts";
import { unusableText } from "../config/set-aside.ts";
import { becomeStateOwner } from "../install/state-owner.ts";
import type { JobContext } from "../jobs/context.ts";
import { openContext } from "../jobs/context.ts";
import { readIdentityText } from "../jobs/keys.ts";
import type { ProgressListener } from "../jobs/progress.ts";
import { silentProgress } from "../jobs/progress.ts";
import { settleAndDeliver } from "../status/rule-changes.ts";
import type { Invocation } from "./command.ts";
import { textOption } from "./command.ts";
import { jsonProgress } from "./output/json-progress.ts";
import { logProgress, terminalProgress } from "./output/progress.ts";

/**
 * Loads the config of a command and logs its warnings. Root then becomes the user that owns the state directory,
 * unless the command touches neither catalog nor storages (`keepsRoot`).
 */
export async function commandConfig(
  { arguments: args, env, log }: Invocation,
  { keepsRoot = false, setsAside = false }: { keepsRoot?: boolean } & LoadOptions = {},
): Promise<Config> {
  const file = configPath(textOption(args, "config"), env);
  const config = await loadConfig(file, processSource(), { setsAside });
  for (const warning of [...config.warnings, ...config.unusable.map(unusableText)]) log.warning(warning);
  if (!keepsRoot) await becomeStateOwner(config.state_dir, log);
  return config;
}

/**
 * Opens config, catalog, storages and keys for a command that runs a job. When it is disposed of, even after a failed
 * job, it first judges the marks of 3-2-1-1-0 anew, and delivers the alerts that were raised.
 */
export async function commandContext(invocation: Invocation): Promise<JobContext> {
  return contextWith(invocation, await commandConfig(invocation, { keepsRoot: true }));
}

/** How the progress of a command is shown. */
export function progressFor({ progress, terminal, log, clock, writeError }: Invocation): ProgressListener {
  if (progress === "none") return silentProgress;
  if (progress === "json") return jsonProgress(writeError, clock);
  return terminal ? terminalProgress({ ...terminal, clock }) : logProgress(log, clock);
}

/** As `commandContext`, with a config that has been loaded. */
export async function contextWith(invocation: Invocation, config: Config): Promise<JobContext> {
  const { log, clock, signal, terminal } = invocation;
  // Read as root: the service's user may not be allowed to read the identity.
  const identityText = isRoot() ? await readIdentityText(config.encryption) : undefined;
  await becomeStateOwner(config.state_dir, log);
  const context = await openContext({
    config,
    identityText,
    log,
    clock,
    signal,
    progress: progressFor(invocation),
    askPassphrase: terminal?.isInteractive
      ? () => askPassphrase("Passphrase of the identity file: ", signal)
      : undefined,
  });
  return {
    ...context,
    async [Symbol.asyncDispose]() {
      await settleAndDeliver(context);
      await context[Symbol.asyncDispose]();
    },
  };
}

/** Asks on the terminal without echo, until `signal`. Throws its reason, code `interrupted` for ^C, code `key` for ^D. */
export async function askPassphrase(question: string, signal: AbortSignal): Promise<string> {
  signal.throwIfAborted();
  const silent = new Writable({ write: (_chunk, _encoding, done) => done() });
  const lines = createInterface({ input: process.stdin, output: silent, terminal: true });
  // Only after `createInterface` has turned echo off; otherwise early input would be shown.
  process.stderr.write(question);
  try {
    return await new Promise((resolve, reject) => {
      // In raw mode the terminal does not turn ^C into a signal.
      lines.on("SIGINT", () => reject(new Pg321Error("interrupted", endedBy("SIGINT"))));
      lines.on("close", () => reject(new Pg321Error("key", "no passphrase was given")));
      lines.question("", { signal }).then(resolve, (error) => reject(signal.aborted ? signal.reason : error));
    });
  } finally {
    lines.close();
    process.stderr.write("\n");
  }
}
