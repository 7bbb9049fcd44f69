import { hostname } from "node:os";
import { visibleData } from "../../base/text/visible.ts";
import { openCatalog } from "../../catalog/open.ts";
import type { Config } from "../../config/config.ts";
import type { StatusReport } from "../../status/report.ts";
import { statusReport } from "../../status/status.ts";
import { statusText } from "../../status/text.ts";
import { openStorage } from "../../storage/registry.ts";
import type { Storage } from "../../storage/storage.ts";
import { askDaemon } from "../ask-daemon.ts";
import type { Command, Invocation } from "../command.ts";
import { isSet, JSON_OPTION } from "../command.ts";
import { commandConfig } from "../open-context.ts";
import { jsonText } from "../output/output.ts";

export const command: Command = {
  usage: "",
  description:
    "Asks the daemon at http.listen. If the daemon does not answer within 3 s, reports the state from the catalog, which\n" +
    "does not include what the daemon is doing at the moment.",
  options: { json: JSON_OPTION },
  examples: [
    { command: "pg321 status", explanation: "the same as curl http://127.0.0.1:8321/status" },
    {
      command: "pg321 status --json | jq -r '.databases[] | select(.state != \"good\") | .database'",
      explanation: "databases with a problem",
    },
  ],
  positionals: { min: 0, max: 0 },
  async run(invocation) {
    const { arguments: args, output, clock, signal } = invocation;
    const config = await commandConfig(invocation);
    const answer = await askDaemon(config.http, { clock, signal });
    if (typeof answer === "string")
      output.note(`the daemon does not answer (${answer}); this is the state from the catalog`);
    const report = typeof answer === "string" ? await fromCatalog(config, invocation) : answer;
    output.print(isSet(args, "json") ? jsonText(report) : statusText(visibleData(report), output.style));
    return 0;
  },
};

async function fromCatalog(config: Config, { clock, log }: Invocation): Promise<StatusReport> {
  await using opened = new AsyncDisposableStack();
  const catalog = opened.use(await openCatalog(config.catalog, { clock, log }));
  const storages: Storage[] = [];
  for (const storage of config.storage) storages.push(opened.use(await openStorage(storage, { log, clock })));
  const installation = (await catalog.installation()) ?? "";
  return await statusReport({ catalog, config, storages, clock, host: hostname(), installation });
}
