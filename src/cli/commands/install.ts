import { EXIT_CODES, Pg321Error } from "../../base/errors.ts";
import { isCompiled } from "../../base/version.ts";
import { install } from "../../install/install.ts";
import type { Command } from "../command.ts";
import { isSet, JSON_OPTION } from "../command.ts";
import { requireRoot, stepTable } from "../output/install-table.ts";
import { jsonText } from "../output/output.ts";

export const command: Command = {
  usage: "",
  description:
    "As root: copies this executable to /usr/local/bin and creates the user pg321, its directories, a short config if\n" +
    "there is none, recovery.md, the systemd unit, and what its sandbox needs for the local storages in the config. It changes only\n" +
    "what is missing or different, so run it again after a change of storages, and run a newer executable's install to\n" +
    "upgrade. It starts the service only with --start, and never restarts it. It exits with 2, after its work, if a\n" +
    "config that was complete has mistakes: the service would not start again.",
  options: {
    "generate-keys": {
      type: "boolean",
      help: "make the keys of a new installation, if there are none, and write them into a new config",
    },
    start: {
      type: "boolean",
      help: "start the service, now and at every boot; refused with every mistake if the config is not valid",
    },
    "dry-run": { type: "boolean", help: "print every step; change nothing" },
    json: JSON_OPTION,
  },
  examples: [
    {
      command: "sudo ./pg321 install --generate-keys",
      explanation: "a new installation, from wherever the executable was unpacked",
    },
    { command: "sudo pg321 install --start", explanation: "when the config is complete" },
    { command: "sudo pg321 install --dry-run", explanation: "what it would change" },
  ],
  positionals: { min: 0, max: 0 },
  async run(invocation) {
    requireRoot("install", invocation);
    const { arguments: args, output, clock } = invocation;
    if (!isCompiled) {
      throw new Pg321Error("usage", "install: pg321 runs from source, so there is no executable to copy", {
        hint: "run npm run build, then sudo dist/pg321 install",
      });
    }
    const { report, mistakes } = await install({
      isDryRun: isSet(args, "dry-run"),
      generatesKeys: isSet(args, "generate-keys"),
      starts: isSet(args, "start"),
      clock,
    });
    if (isSet(args, "json")) {
      output.print(jsonText(report));
      if (mistakes !== undefined) throw mistakes;
      return EXIT_CODES.ok;
    }
    output.print(stepTable(report.steps, output.style));
    for (const [index, step] of report.next.entries())
      output.print(`\n${output.style.bold(`${index + 1}.`)} ${step.replaceAll("\n", "\n   ")}`);
    if (mistakes !== undefined) throw mistakes;
    if (report.next.length === 0) output.print("\nthe service is running; there is nothing left to do");
    return EXIT_CODES.ok;
  },
};
