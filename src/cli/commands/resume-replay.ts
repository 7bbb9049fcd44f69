import { EXIT_CODES } from "../../base/errors.ts";
import { plural } from "../../base/text/amounts.ts";
import { resumeLeft } from "../../jobs/standby/paused-replay.ts";
import type { Command } from "../command.ts";
import { commandContext } from "../open-context.ts";

export const command: Command = {
  usage: "",
  description:
    "A dump from a standby may pause its replay of WAL (standby.pause_replay). pg321 resumes it when the dump ends, also\n" +
    "after an error. If pg321 was killed, the unit (ExecStopPost), the next backup and this command resume it. A pause that\n" +
    "pg321 did not make stays.",
  options: {},
  examples: [{ command: "pg321 resume-replay", explanation: "nothing happens if no pause was left" }],
  positionals: { min: 0, max: 0 },
  async run(invocation) {
    await using context = await commandContext(invocation);
    const { resumed, failed } = await resumeLeft(context);
    if (resumed > 0)
      invocation.output.print(`resumed the replay of ${plural(resumed, "standby", "standbys")}`);
    if (failed > 0) return EXIT_CODES.database;
    if (resumed === 0) invocation.output.note("no pause of pg321's is left");
    return EXIT_CODES.ok;
  },
};
