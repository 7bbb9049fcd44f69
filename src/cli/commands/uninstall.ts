import { EXIT_CODES } from "../../base/errors.ts";
import { uninstall } from "../../install/uninstall.ts";
import type { Command } from "../command.ts";
import { isSet, JSON_OPTION } from "../command.ts";
import { requireRoot, stepTable } from "../output/install-table.ts";
import { jsonText } from "../output/output.ts";

export const command: Command = {
  usage: "",
  description:
    "As root: stops and disables the service, and removes the unit, its drop-in, the executable and recovery.md.\n" +
    "Keeps config, secrets, keys, catalog and every backup, and prints where they are.",
  options: {
    "dry-run": { type: "boolean", help: "print every step; change nothing" },
    json: JSON_OPTION,
  },
  examples: [
    { command: "sudo pg321 uninstall --dry-run", explanation: "what it would remove, and what stays" },
  ],
  positionals: { min: 0, max: 0 },
  async run(invocation) {
    requireRoot("uninstall", invocation);
    const { arguments: args, output } = invocation;
    const report = await uninstall({ isDryRun: isSet(args, "dry-run") });
    output.print(isSet(args, "json") ? jsonText(report) : stepTable(report.steps, output.style));
    return EXIT_CODES.ok;
  },
};
