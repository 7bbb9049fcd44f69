import { EXIT_CODES } from "../../base/errors.ts";
import { plural } from "../../base/text/amounts.ts";
import { runRepair } from "../../jobs/verify/repair.ts";
import type { Command } from "../command.ts";
import { isSet, JSON_OPTION } from "../command.ts";
import { commandContext } from "../open-context.ts";
import { outcomeTable } from "../output/outcome-table.ts";
import { jsonText } from "../output/output.ts";

export const command: Command = {
  usage: "",
  description:
    "Copies the stored object as it is, still sealed, from a storage with a good copy to each storage whose copy is\n" +
    "missing or damaged. Needs neither PostgreSQL nor an identity. Exit 3 if a copy could not be filled.",
  options: { json: JSON_OPTION },
  examples: [{ command: "pg321 repair", explanation: "repair every PARTIAL backup" }],
  positionals: { min: 0, max: 0 },
  async run(invocation) {
    const { arguments: args, output } = invocation;
    await using context = await commandContext(invocation);
    const { run, results, left } = await runRepair(context);
    if (isSet(args, "json"))
      output.print(jsonText({ run_id: run.id, outcome: run.outcome, copies: results, left }));
    else {
      if (results.length > 0) output.print(outcomeTable(results, output.style));
      else if (left === 0) output.print("nothing to repair: no copy is missing or damaged");
      if (left > 0)
        output.print(`${plural(left, "backup")} left for the next repair: another run is working on them`);
    }
    return results.every(({ outcome }) => outcome === "filled") ? EXIT_CODES.ok : EXIT_CODES.partial;
  },
};
