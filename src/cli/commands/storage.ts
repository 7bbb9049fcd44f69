import { EXIT_CODES, Pg321Error } from "../../base/errors.ts";
import { requireStorage } from "../../jobs/copies/find-backup.ts";
import { acceptStorage } from "../../jobs/markers/storage-identity.ts";
import { storageNamed } from "../../jobs/storages.ts";
import type { Command } from "../command.ts";
import { commandContext } from "../open-context.ts";

export const command: Command = {
  usage: "accept NAME",
  description:
    "Each storage has a marker file, pg321-storage.json. If the marker is missing or belongs to another storage, runs do\n" +
    "not use the storage: the disk may not be mounted. accept confirms that the place is right: it writes a marker if\n" +
    "there is none, and the next runs use the storage. verify --all finds recorded copies that are missing, repair fills them.",
  options: {},
  examples: [{ command: "pg321 storage accept disk", explanation: "the disk was replaced by an empty one" }],
  positionals: { min: 2, max: 2, values: [{ words: ["accept"] }, { live: ["storage"] }] },
  async run(invocation) {
    const [action, name = ""] = invocation.arguments.positionals;
    if (action !== "accept")
      throw new Pg321Error("usage", `storage: unknown action "${action}"`, {
        hint: "usage: pg321 storage accept NAME",
      });
    await using context = await commandContext(invocation);
    requireStorage(context, name);
    const storage = storageNamed(context, name);
    if (!storage) throw new Error(`no storage ${name}`);
    const { wasMarked } = await acceptStorage(context, storage);
    const how = wasMarked ? "its existing marker is used" : "it has a new marker";
    invocation.output.print(`storage "${name}" is accepted: ${how}`);
    return EXIT_CODES.ok;
  },
};
