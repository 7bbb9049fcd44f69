import { EXIT_CODES } from "../base/errors.ts";
import { visibleData } from "../base/visible.ts";
import { shortId } from "../jobs/object-key.ts";
import { runRepair } from "../jobs/repair.ts";
import type { Command } from "./command.ts";
import { isSet, JSON_OPTION } from "./command.ts";
import { commandContext } from "./open-context.ts";
import { jsonText, sizeText, table } from "./output.ts";
import { statusText } from "./status-text.ts";

export const command: Command = {
  name: "repair",
  summary: "fill missing copies from good ones",
  usage: "",
  description:
    "Copies the stored object as it is, still sealed, from a storage that has it to each that lacks it or has\n" +
    "it damaged. PostgreSQL is not touched, and no identity is needed. Exit 3 when some could not be filled.",
  options: { json: JSON_OPTION },
  examples: [{ command: "pg321 repair", explanation: "heal every PARTIAL backup" }],
  positionals: { min: 0, max: 0 },
  async run(invocation) {
    const { arguments: args, output } = invocation;
    await using context = await commandContext(invocation);
    const { run, results } = await runRepair(context);
    if (isSet(args, "json"))
      output.print(jsonText({ run_id: run.id, outcome: run.outcome, copies: results }));
    else if (results.length === 0) output.print("nothing to repair: every copy is in its place");
    else {
      const rows = table(
        visibleData(results),
        [
          { title: "ID", cell: (row) => shortId(row.backup_id) },
          { title: "DATABASE", cell: (row) => `${row.server}/${row.database}` },
          { title: "STORAGE", cell: (row) => row.storage },
          { title: "SIZE", cell: (row) => sizeText(row.object_bytes), align: "right" },
          { title: "OUTCOME", cell: (row) => statusText(row.outcome, output.style) },
          { title: "ERROR", cell: (row) => row.error ?? "" },
        ],
        output.style,
      );
      output.print(rows);
    }
    return results.every(({ outcome }) => outcome === "filled") ? EXIT_CODES.ok : EXIT_CODES.partial;
  },
};
