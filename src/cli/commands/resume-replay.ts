import { EXIT_CODES, Pg321Error } from "../../base/errors.ts";
import { plural } from "../../base/text/amounts.ts";
import { resumeLeft } from "../../jobs/standby/paused-replay.ts";
import type { Command } from "../command.ts";
import { isSet } from "../command.ts";
import { commandConfig } from "../open-context.ts";

export const command: Command = {
  usage: "",
  description:
    "A dump from a standby may pause its replay of WAL (standby.pause_replay). pg321 resumes it when the dump ends, also\n" +
    "after an error. If pg321 was killed, the unit (ExecStopPost), the next start of the service, the next backup, or this\n" +
    "command resumes it. A pause that pg321 did not make stays. Exit 10: a standby could not be reached, or the config no\n" +
    "longer names its server. Exit 2: the config cannot be used.",
  options: {
    quiet: {
      type: "boolean",
      help: "say nothing if there is nothing to resume, or if the config cannot be used: the service has said so",
    },
  },
  examples: [{ command: "pg321 resume-replay", explanation: "nothing happens if no pause was left" }],
  positionals: { min: 0, max: 0 },
  async run(invocation) {
    const { clock, log } = invocation;
    const isQuiet = isSet(invocation.arguments, "quiet");
    const config = await commandConfig(invocation).catch((error: unknown) => {
      if (isQuiet && error instanceof Pg321Error) return undefined;
      throw error;
    });
    if (!config) return EXIT_CODES.usage;
    // Neither catalog nor keys: one of them may be the reason why pg321 has ended.
    const { resumed, failed, held } = await resumeLeft({ config, clock, log });
    if (resumed > 0)
      invocation.output.print(`resumed the replay of ${plural(resumed, "standby", "standbys")}`);
    if (failed > 0) return EXIT_CODES.database;
    if (resumed === 0 && !isQuiet)
      invocation.output.note(
        held > 0 ? "a dump that still runs needs the pause" : "no pause of pg321 is left",
      );
    return EXIT_CODES.ok;
  },
};
