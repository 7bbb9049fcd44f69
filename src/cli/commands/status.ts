import { resolve } from "node:path";
import { EXIT_CODES, Pg321Error } from "../../base/errors.ts";
import { HOUR_MS } from "../../base/limits.ts";
import { createLog } from "../../base/log.ts";
import { visibleData } from "../../base/text/visible.ts";
import { ownView } from "../../catalog/fleet/host-view.ts";
import { openCatalog, spoolOf } from "../../catalog/open.ts";
import type { Config } from "../../config/config.ts";
import { loadHttpOnly, processSource } from "../../config/load.ts";
import { ConfigError } from "../../config/problems.ts";
import { parseDuration } from "../../config/units.ts";
import { fleetReport } from "../../status/fleet/fleet.ts";
import type { FleetReport } from "../../status/fleet/report.ts";
import { fleetText } from "../../status/fleet/text.ts";
import { fleetJson, fleetVerdict } from "../../status/fleet/verdict.ts";
import type { StatusReport } from "../../status/report.ts";
import { statusReport } from "../../status/status.ts";
import { statusText } from "../../status/text.ts";
import { reportJson, type VerdictLevel, verdictOf } from "../../status/verdict.ts";
import { openStorage } from "../../storage/registry.ts";
import type { Storage } from "../../storage/storage.ts";
import { askDaemon } from "../ask-daemon.ts";
import type { Arguments, Command, Invocation } from "../command.ts";
import { isSet, JSON_OPTION, textOption, UTC_OPTION } from "../command.ts";
import { commandConfig } from "../open-context.ts";
import { durationText, jsonText } from "../output/output.ts";
import { watched } from "../output/watched.ts";

export const command: Command = {
  usage: "",
  description:
    "Asks the daemon at http.listen. If the daemon does not answer within 3 s, reports the state from the catalog, which\n" +
    "does not include what the daemon is doing at the moment. Exit 0 whatever the verdict, unless --exit-code is given.",
  options: {
    fleet: {
      type: "boolean",
      help: "all hosts and databases of the catalog instead of this host: docs/fleet.md",
    },
    "exit-code": { type: "boolean", help: "exit 3 if the verdict is a warning, 4 if it is bad" },
    watch: { type: "boolean", help: "show it on the terminal again and again, until Ctrl-C" },
    interval: {
      type: "string",
      value: "TIME",
      help: "with --watch: how often, 500ms to 1h (default 2s); a number alone is seconds",
    },
    utc: UTC_OPTION,
    json: JSON_OPTION,
  },
  examples: [
    { command: "pg321 status", explanation: "the same as curl http://127.0.0.1:8321/status" },
    { command: "pg321 status --watch", explanation: "while a backup runs" },
    { command: "pg321 status --fleet", explanation: "every host that shares the catalog" },
    { command: "pg321 status --exit-code >/dev/null || echo look", explanation: "for a monitoring script" },
    {
      command: "pg321 status --json | jq -r '.databases[] | select(.state != \"good\") | .database'",
      explanation: "databases with a problem",
    },
  ],
  positionals: { min: 0, max: 0 },
  conflicts: [
    { options: ["watch", "json"], why: "it draws on a terminal; call it in a loop for JSON" },
    { options: ["watch", "exit-code"], why: "it ends with Ctrl-C, not with a verdict" },
  ],
  async run(invocation) {
    const { arguments: args, output } = invocation;
    const intervalMs = intervalOption(args);
    if (isSet(args, "watch")) return await watchStatus(invocation, intervalMs);
    if (isSet(args, "fleet")) return await showFleet(await commandConfig(invocation), invocation);
    const config = await commandConfig(invocation).catch((error: unknown) => {
      if (error instanceof ConfigError) return error;
      throw error;
    });
    if (config instanceof ConfigError) return await besideBrokenConfig(config, invocation);
    const { report, silence } = await reportOf(config, invocation);
    // The text has this line itself.
    if (silence !== undefined && isSet(args, "json"))
      output.note(`the daemon does not answer (${silence}); this is the state from the catalog`);
    print(report, invocation, silence);
    return isSet(args, "exit-code") ? VERDICT_CODES[verdictOf(report).level] : EXIT_CODES.ok;
  },
};

interface Report {
  report: StatusReport;
  /** Why no daemon answered. */
  silence?: string;
}

async function reportOf(config: Config, invocation: Invocation): Promise<Report> {
  const answer = await askDaemon(config.http, invocation);
  if (typeof answer !== "string") return { report: answer };
  return { report: await fromCatalog(config, invocation), silence: answer };
}

async function watchStatus(invocation: Invocation, intervalMs: number): Promise<number> {
  const { output, clock, signal } = invocation;
  const { screen, style } = output;
  if (!screen)
    throw new Pg321Error("usage", "status: --watch needs a terminal", {
      hint: "stdout is not one, or TERM is dumb; call pg321 status in a loop",
    });
  const config = await commandConfig(invocation);
  // A line of the log would be drawn over.
  const unseen = { ...invocation, log: createLog({ format: "text", level: "error", write: () => {} }) };
  const title = style.dim(`every ${durationText(intervalMs)}; Ctrl-C ends this`);
  await watched({ screen, title, intervalMs, clock, signal }, async (columns) => {
    if (isSet(invocation.arguments, "fleet"))
      return fleetText(visibleData(await fleetFromCatalog(config, unseen)), { ...style, columns });
    const { report, silence } = await reportOf(config, unseen);
    return statusText(visibleData(report), { ...style, columns }, silence);
  });
  return EXIT_CODES.ok;
}

const INTERVAL_MS = 2_000;
const INTERVAL_MS_MIN = 500;

/** Throws code `usage`. */
function intervalOption(args: Arguments): number {
  const text = textOption(args, "interval");
  if (text === undefined) return INTERVAL_MS;
  if (!isSet(args, "watch"))
    throw new Pg321Error("usage", "status: --interval needs --watch", { hint: "pg321 status --watch" });
  const given = parseDuration(/^\d+(\.\d+)?$/.test(text) ? `${text}s` : text);
  if (given !== undefined && given >= INTERVAL_MS_MIN && given <= HOUR_MS) return given;
  throw new Pg321Error("usage", `status: --interval is "${text}", expected 500ms to 1h, such as 2s`);
}

function print(report: StatusReport, { arguments: args, output }: Invocation, silence?: string): void {
  output.print(
    isSet(args, "json")
      ? jsonText(reportJson(report))
      : statusText(visibleData(report), output.style, silence),
  );
}

/**
 * Asks the daemon that runs with an earlier version of this config. Throws the config's error if none answers: another
 * config's daemon does not count.
 */
async function besideBrokenConfig(broken: ConfigError, invocation: Invocation): Promise<number> {
  const { arguments: args, output, clock, signal } = invocation;
  const http = await loadHttpOnly(broken.file, processSource());
  const answer = await askDaemon(http, { clock, signal });
  if (typeof answer === "string" || answer.daemon?.config_file !== resolve(broken.file)) throw broken;
  const text = `the daemon runs with an earlier config; the config on disk cannot be used: ${broken.message}`;
  // A note is one line, and the message has one for each mistake.
  for (const line of text.split("\n")) output.note(line);
  print(answer, invocation);
  if (!isSet(args, "exit-code")) return EXIT_CODES.ok;
  return Math.max(EXIT_CODES.partial, VERDICT_CODES[verdictOf(answer).level]);
}

const VERDICT_CODES: Readonly<Record<VerdictLevel, number>> = {
  good: EXIT_CODES.ok,
  new: EXIT_CODES.ok,
  warning: EXIT_CODES.partial,
  bad: EXIT_CODES.bad,
};

async function showFleet(config: Config, invocation: Invocation): Promise<number> {
  const { arguments: args, output } = invocation;
  const report = await fleetFromCatalog(config, invocation);
  output.print(
    isSet(args, "json") ? jsonText(fleetJson(report)) : fleetText(visibleData(report), output.style),
  );
  return isSet(args, "exit-code") ? VERDICT_CODES[fleetVerdict(report).level] : EXIT_CODES.ok;
}

async function fleetFromCatalog(config: Config, { clock, log }: Invocation): Promise<FleetReport> {
  await using catalog = await openCatalog(config.catalog, { clock, log, spool: spoolOf(config) });
  const installation = (await catalog.installation()) ?? "";
  return await fleetReport({ catalog, config, clock, host: config.fleet.host, installation });
}

async function fromCatalog(config: Config, { clock, log }: Invocation): Promise<StatusReport> {
  await using opened = new AsyncDisposableStack();
  const tools = { clock, log, spool: spoolOf(config) };
  const catalog = ownView(opened.use(await openCatalog(config.catalog, tools)), config);
  const storages: Storage[] = [];
  for (const storage of config.storage) storages.push(opened.use(await openStorage(storage, { log, clock })));
  const installation = (await catalog.installation()) ?? "";
  return await statusReport({ catalog, config, storages, clock, host: config.fleet.host, installation });
}
