import type { Block } from "./blocks.ts";
import type { KitFacts } from "./facts.ts";

/** How to open and restore a backup of several streams with stock tools. */
export function streamsBlocks({ hasStreams, isEncrypted, signer }: KitFacts): Block[] {
  if (!hasStreams || !isEncrypted) return [];
  const trust = signer === undefined ? "" : ` --signer '${signer}'`;
  return [
    { heading: "Backups of several archives", level: 2 },
    {
      text: "This host dumps in several streams (`dump.jobs`). Such a backup has several archives: `head -n 1 FILE` prints `pg321 sealed 2`, and the commands above do not fit. Fetch it and check its hash as above. Then open it with these commands, with its file in place of `FILE` and a new directory for the archives. Each `echo` must print its word; otherwise stop.",
    },
    {
      commands: [
        "head -n 1 FILE",
        `python3 unseal.py -i identity.txt${trust} --members archives FILE && echo opened`,
      ],
    },
    {
      text: "Make the roles with the commands above, with `archives/schema.dump` in place of the dump. Then make the database and its tables (`DATABASE` is its name), fill them, and make indexes, keys and rights:",
    },
    {
      commands: [
        "runuser -l postgres -c 'pg_restore --create --exit-on-error --section=pre-data -d postgres' < archives/schema.dump && echo tables",
        "for archive in archives/data*.dump; do",
        `    runuser -l postgres -c 'pg_restore --exit-on-error -d DATABASE' < "$archive" || break`,
        "done && echo rows",
        "runuser -l postgres -c 'pg_restore --exit-on-error --section=post-data -d DATABASE' < archives/schema.dump && echo restored",
        "runuser -l postgres -c 'vacuumdb --all --analyze-only --quiet'",
      ],
    },
  ];
}
