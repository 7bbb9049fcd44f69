import { hostname } from "node:os";
import { resolve } from "node:path";
import { EXIT_CODES } from "../../base/errors.ts";
import { visibleData } from "../../base/text/visible.ts";
import { openCatalog } from "../../catalog/open.ts";
import type { Config } from "../../config/config.ts";
import { loadHttpOnly, processSource } from "../../config/load.ts";
import { ConfigError } from "../../config/problems.ts";
import type { StatusReport } from "../../status/report.ts";
import { statusReport } from "../../status/status.ts";
import { statusText } from "../../status/text.ts";
import { reportJson, type VerdictLevel, verdictOf } from "../../status/verdict.ts";
import { openStorage } from "../../storage/registry.ts";
import type { Storage } from "../../storage/storage.ts";
import { askDaemon } from "../ask-daemon.ts";
import type { Command, Invocation } from "../command.ts";
import { isSet, JSON_OPTION, UTC_OPTION } from "../command.ts";
import { commandConfig } from "../open-context.ts";
import { jsonText } from "../output/output.ts";

export const command: Command = {
  usage: "",
  description:
    "Asks the daemon at http.listen. If the daemon does not answer within 3 s, reports the state from the catalog, which\n" +
    "does not include what the daemon is doing at the moment. Exit 0 whatever the verdict, unless --exit-code is given.",
  options: {
    "exit-code": { type: "boolean", help: "exit 3 if the verdict is a warning, 4 if it is bad" },
    utc: UTC_OPTION,
    json: JSON_OPTION,
  },
  examples: [
    { command: "pg321 status", explanation: "the same as curl http://127.0.0.1:8321/status" },
    { command: "pg321 status --exit-code >/dev/null || echo look", explanation: "for a monitoring script" },
    {
      command: "pg321 status --json | jq -r '.databases[] | select(.state != \"good\") | .database'",
      explanation: "databases with a problem",
    },
  ],
  positionals: { min: 0, max: 0 },
  async run(invocation) {
    const { arguments: args, output, clock, signal } = invocation;
    const config = await commandConfig(invocation).catch((error: unknown) => {
      if (error instanceof ConfigError) return error;
      throw error;
    });
    if (config instanceof ConfigError) return await besideBrokenConfig(config, invocation);
    const answer = await askDaemon(config.http, { clock, signal });
    const silence = typeof answer === "string" ? answer : undefined;
    // The text has this line itself.
    if (silence !== undefined && isSet(args, "json"))
      output.note(`the daemon does not answer (${silence}); this is the state from the catalog`);
    const report = typeof answer === "string" ? await fromCatalog(config, invocation) : answer;
    print(report, invocation, silence);
    return isSet(args, "exit-code") ? VERDICT_CODES[verdictOf(report).level] : EXIT_CODES.ok;
  },
};

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

async function fromCatalog(config: Config, { clock, log }: Invocation): Promise<StatusReport> {
  await using opened = new AsyncDisposableStack();
  const catalog = opened.use(await openCatalog(config.catalog, { clock, log }));
  const storages: Storage[] = [];
  for (const storage of config.storage) storages.push(opened.use(await openStorage(storage, { log, clock })));
  const installation = (await catalog.installation()) ?? "";
  return await statusReport({ catalog, config, storages, clock, host: hostname(), installation });
}
