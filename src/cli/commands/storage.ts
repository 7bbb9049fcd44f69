import { EXIT_CODES, Pg321Error } from "../../base/errors.ts";
import { requireStorage } from "../../jobs/copies/find-backup.ts";
import { acceptStorage } from "../../jobs/identity/storage-identity.ts";
import { storageNamed } from "../../jobs/storages.ts";
import type { Command } from "../command.ts";
import { commandContext } from "../open-context.ts";

export const command: Command = {
  usage: "accept NAME",
  description:
    "Each storage has a marker, pg321-storage.json, and takes no part in a run when that is gone or another's: the\n" +
    "disk may not be mounted. accept says that the place is right as it is: it gets a marker where it has none, and\n" +
    "the next runs use it. Copies that are recorded and not there are found by verify and filled by repair.",
  options: {},
  examples: [{ command: "pg321 storage accept disk", explanation: "the disk was replaced by an empty one" }],
  positionals: { min: 2, max: 2 },
  async run(invocation) {
    const [action, name = ""] = invocation.arguments.positionals;
    if (action !== "accept")
      throw new Pg321Error("usage", `storage: unknown action "${action}"`, {
        hint: "pg321 storage accept NAME",
      });
    await using context = await commandContext(invocation);
    requireStorage(context, name);
    const storage = storageNamed(context, name);
    if (!storage) throw new Error(`no storage ${name}`);
    const { wasMarked } = await acceptStorage(context, storage);
    const how = wasMarked ? "the marker that is there counts" : "it got a new marker";
    invocation.output.print(`storage "${name}" is accepted: ${how}`);
    return EXIT_CODES.ok;
  },
};
