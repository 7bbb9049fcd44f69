import { Pg321Error } from "../../base/errors.ts";
import { backupName } from "../../catalog/globals.ts";
import { deleteBackups } from "../../jobs/cleanup/delete-backup.ts";
import { findBackup } from "../../jobs/copies/find-backup.ts";
import { shortId } from "../../jobs/copies/object-key.ts";
import type { Command } from "../command.ts";
import { isSet, JSON_OPTION } from "../command.ts";
import { commandContext } from "../open-context.ts";
import { printDeletion } from "../output/deletion-text.ts";

export const command: Command = {
  usage: "ID",
  description:
    "Deletes every copy, confirms that it is gone, then removes the record. Refuses a backup with a hold on it and,\n" +
    "without --force, the newest good backup of its database. Exit 3 if a copy could not be deleted.",
  options: {
    force: { type: "boolean", help: "delete even the newest good backup of its database" },
    json: JSON_OPTION,
  },
  examples: [{ command: "pg321 delete 3f2a", explanation: "any unambiguous prefix of the id is enough" }],
  positionals: { min: 1, max: 1, values: [{ live: ["backup"] }] },
  async run(invocation) {
    const { arguments: args, output } = invocation;
    await using context = await commandContext(invocation);
    const backup = await findBackup(context, args.positionals[0] ?? "");
    const newest = await context.catalog.newestGood(backup.server, backup.database, context.clock.now());
    if (newest?.id === backup.id && !isSet(args, "force")) {
      const what = `backup ${shortId(backup.id)} is the newest good backup of ${backupName(backup)}`;
      throw new Pg321Error("usage", what, { hint: "make a newer backup first, or use --force" });
    }
    const report = await deleteBackups(context, { ...backup, ids: [backup.id] }, "delete");
    return await printDeletion(report, output, isSet(args, "json"));
  },
};
