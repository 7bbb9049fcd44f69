import type { Style } from "../../src/cli/output/output.ts";
import { ROLE, ROLE_STATEMENTS } from "./database.ts";

/** What to do next with a real server. */
export function nextSteps({ bold, dim }: Style): string[] {
  const steps: [string, string[]][] = [
    ["The service, on the host that makes the backups:", ["sudo dist/pg321 install"]],
    [
      "A role that may read everything, and is no superuser (in psql, as one):",
      [
        ...ROLE_STATEMENTS.map((statement) => statement.replace(" PASSWORD '…'", "")),
        dim(
          `-- no password: the system user ${ROLE} is let in over the unix socket; see README.md for another host`,
        ),
      ],
    ],
    [
      "The keys; copy identity.txt to a safe place off this host: without it no backup can be opened:",
      ["sudo pg321 key generate"],
    ],
    [
      "The config, which tells every setting; then what follows from it, and a look at all that a backup needs:",
      ["sudoedit /etc/pg321/config.toml", "sudo pg321 check", "sudo pg321 install", "sudo pg321 doctor"],
    ],
    ["The first backup, and every copy of it read back:", ["sudo pg321 backup", "sudo pg321 verify"]],
    [
      "The daemon, which goes on from here:",
      ["sudo systemctl enable --now pg321", "curl http://127.0.0.1:8321/status"],
    ],
    [
      "A restore test, before you need it (here to a server where you are superuser; roles must be there):",
      [
        "sudo pg321 restore latest -d DATABASE --create \\",
        "    --target postgres://postgres@HOST/DATABASE_restored --password-file FILE",
      ],
    ],
  ];
  return [
    bold("Next, with a real server"),
    ...steps.flatMap(([what, lines], index) => [
      "",
      `${index + 1}. ${what}`,
      ...lines.map((line) => `     ${line}`),
    ]),
    "",
    "README.md tells more, and what to do at 3 a.m.",
  ];
}
