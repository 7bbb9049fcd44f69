import { plural } from "../../base/text/amounts.ts";
import { VERSION } from "../../base/version.ts";
import type { Block } from "./blocks.ts";
import { catalogBlocks } from "./catalog-page.ts";
import type { KitDatabase, KitFacts } from "./facts.ts";
import { secretBlocks } from "./secrets-page.ts";
import { databaseBlocks, globalsBlocks, newerBlocks, prepareBlocks } from "./steps-page.ts";
import { streamsBlocks } from "./streams-page.ts";

/** The page of a recovery kit: from a fresh Debian to running databases, without pg321. */
export function kitPage(facts: KitFacts): Block[] {
  const { madeAt, host, installation, databases, globals } = facts;
  const at = madeAt.slice(0, 19).replace("T", " ");
  return [
    { heading: "Recovery kit", level: 1 },
    {
      text: `How to restore the databases of this installation **without pg321**, its config and its catalog: on a fresh Debian, with stock tools. Made ${at} UTC by pg321 ${VERSION} on host ${host}, installation \`${installation}\`. Make it again after a change of storages or keys: \`pg321 recovery-kit DIR\`.`,
    },
    {
      list: [
        "`recovery-kit.md`, `recovery-kit.txt`: this page; print it, and keep it with a copy of the identity",
        "`unseal.py`: opens an encrypted backup; needs python3-cryptography and age",
        "`format.md`: the format of the backups, in case even `unseal.py` must be written again",
        "`SHA256SUMS`: `sha256sum -c SHA256SUMS` checks the files of this kit",
      ],
    },
    ...secretBlocks(facts),
    ...placeBlocks(facts),
    ...prepareBlocks(facts),
    ...(databases.length === 0
      ? [
          {
            text: "**There was no good backup yet when this kit was made.** Make the kit again after the first.",
          },
        ]
      : [
          ...globals.flatMap((one) => globalsBlocks(facts, one)),
          ...databases.flatMap((database) => databaseBlocks(facts, database)),
        ]),
    ...streamsBlocks(facts),
    ...newerBlocks(facts),
    { heading: "With pg321 again", level: 2 },
    {
      text: `With the pg321 executable and the export of the old host (\`pg321 export-keys\`), \`pg321 restore-host FILE\` puts config, credentials and keys back and finds the backups again. Without an export, the config was \`${facts.configFile}\`.`,
    },
    ...catalogBlocks(facts),
  ];
}

function placeBlocks({ storages, databases, globals }: KitFacts): Block[] {
  const copies = (all: readonly KitDatabase[], name: string) =>
    all.filter(({ backups: [newest] }) => newest.storages.includes(name)).length;
  const globalsText = (name: string) =>
    globals.length === 0
      ? ""
      : `, globals of ${copies(globals, name)} of ${plural(globals.length, "server")}`;
  return [
    { heading: "Where the backups are", level: 2 },
    {
      titles: ["Storage", "Type", "Place", "Off-site", "Has the newest backup of"],
      rows: storages.map(({ settings }) => [
        settings.name,
        settings.type === "s3" ? `S3 (${settings.provider})` : "directory",
        settings.type === "s3"
          ? `${settings.endpoint}, region ${settings.region}, bucket ${settings.bucket}, prefix ${settings.prefix === "" ? "none" : settings.prefix}`
          : settings.path,
        settings.off_site ? "yes" : "no",
        `${copies(databases, settings.name)} of ${plural(databases.length, "database")}${globalsText(settings.name)}`,
      ]),
    },
  ];
}
