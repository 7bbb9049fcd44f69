import { EXIT_CODES } from "../../base/errors.ts";
import { releaseBackup } from "../../jobs/cleanup/hold.ts";
import { findBackup } from "../../jobs/copies/find-backup.ts";
import { shortId } from "../../jobs/copies/object-key.ts";
import type { Command } from "../command.ts";
import { commandContext } from "../open-context.ts";

export const command: Command = {
  usage: "ID",
  options: {},
  examples: [{ command: "pg321 unhold 3f2a", explanation: "the retention rules apply to it again" }],
  positionals: { min: 1, max: 1, values: [{ live: ["held-backup"] }] },
  async run(invocation) {
    await using context = await commandContext(invocation);
    const backup = await findBackup(context, invocation.arguments.positionals[0] ?? "");
    await releaseBackup(context, backup);
    const what = backup.held_at === null ? "had no hold on it" : "is no longer held";
    invocation.output.print(`${shortId(backup.id)} ${what}`);
    return EXIT_CODES.ok;
  },
};
