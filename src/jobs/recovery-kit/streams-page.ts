import { shellQuoted } from "../../base/text/shell.ts";
import type { Block } from "./blocks.ts";
import type { KitFacts } from "./facts.ts";
import { ANALYZE, streamsCommands } from "./open.ts";

/**
 * How to restore a backup that was made in several streams, if the config asks for one now; otherwise the commands of
 * each database do it.
 */
export function streamsBlocks({ hasStreams, isEncrypted, signer }: KitFacts): Block[] {
  if (hasStreams) return [];
  const trust = signer === undefined ? "" : ` --signer ${shellQuoted(signer)}`;
  return [
    { heading: "Backups in several streams", level: 2 },
    {
      text: isEncrypted
        ? "A backup that was made while `dump.jobs` was above 1 may have several archives: then `head -n 1 FILE` prints `pg321 sealed 2`, and the commands above do not fit. Fetch it and check its hash as above. Then, with its file in place of `FILE`, and a new directory for the archives:"
        : "A backup that was made while `dump.jobs` was above 1 may have several archives: then `head -n 1` of the opened dump prints `pg321 container 1`, and `pg_restore` does not read it. With the dump in place of `FILE`, `unseal.py` in this directory, python3-cryptography, and a new directory for the archives:",
    },
    {
      commands: [
        `python3 unseal.py ${isEncrypted ? `-i identity.txt${trust} ` : ""}--members archives FILE && echo opened`,
      ],
    },
    {
      text: "It must print `opened`. If the roles are made from the dump, take `archives/schema.dump` for it. Then make the database and its tables (`DATABASE` is its name), fill them, and make indexes, keys and rights; it must print `restored`:",
    },
    { commands: [...streamsCommands("archives", "DATABASE"), ANALYZE] },
  ];
}
