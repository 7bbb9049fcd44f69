import { EXIT_CODES, Pg321Error } from "../../base/errors.ts";
import { visible } from "../../base/text/visible.ts";
import { holdBackup, holdText } from "../../jobs/cleanup/hold.ts";
import { findBackup } from "../../jobs/copies/find-backup.ts";
import { shortId } from "../../jobs/copies/object-key.ts";
import type { Command } from "../command.ts";
import { textOption } from "../command.ts";
import { commandContext } from "../open-context.ts";

export const command: Command = {
  usage: "ID",
  description:
    "cleanup, delete and forget keep a backup with a hold on it, until pg321 unhold or until the given time. A second\n" +
    "hold replaces the first.",
  options: {
    until: {
      type: "string",
      value: "TIME",
      help: "when the hold ends by itself: 2027-01-31, or 2027-01-31T18:00Z (UTC)",
    },
    reason: { type: "string", value: "TEXT", help: "why, shown wherever the hold is shown" },
  },
  examples: [
    { command: "pg321 hold 3f2a --until 2027-01-31 --reason audit", explanation: "until an audit is over" },
  ],
  positionals: { min: 1, max: 1, values: [{ live: ["backup"] }] },
  async run(invocation) {
    const { arguments: args, output, clock } = invocation;
    const until = timeOption(textOption(args, "until"), clock.now());
    const reason = reasonOption(textOption(args, "reason"));
    await using context = await commandContext(invocation);
    const backup = await findBackup(context, args.positionals[0] ?? "");
    const hold = await holdBackup(context, backup, { until, reason });
    output.print(visible(`${shortId(backup.id)} is held ${holdText(hold)}`));
    return EXIT_CODES.ok;
  },
};

const REASON_CHARACTERS_MAX = 200;

function reasonOption(text: string | undefined): string | undefined {
  const reason = text?.trim();
  if (reason === undefined) return undefined;
  if (reason === "") throw new Pg321Error("usage", "hold: --reason is empty");
  if (reason.length > REASON_CHARACTERS_MAX)
    throw new Pg321Error(
      "usage",
      `hold: --reason has ${reason.length} characters, at most ${REASON_CHARACTERS_MAX} are kept`,
    );
  return reason;
}

function timeOption(text: string | undefined, now: Date): Date | undefined {
  if (text === undefined) return undefined;
  const match = /^\d{4}-\d{2}-\d{2}(?:T\d{2}:\d{2}(?::\d{2}(?:\.\d{3})?)?Z)?$/.exec(text);
  const time = new Date(match ? text : Number.NaN);
  if (Number.isNaN(time.getTime()) || !time.toISOString().startsWith(text.slice(0, 10)))
    throw new Pg321Error(
      "usage",
      `hold: --until is "${text}", expected a day such as 2027-01-31, or 2027-01-31T18:00Z`,
    );
  if (time <= now) throw new Pg321Error("usage", `hold: --until is ${text}, which is in the past`);
  return time;
}
