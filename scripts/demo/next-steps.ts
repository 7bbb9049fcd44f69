import type { Style } from "../../src/cli/output.ts";
import { ROLE, ROLE_STATEMENTS } from "./database.ts";

/** What to do next with a real server. */
export function nextSteps({ bold, dim }: Style): string[] {
  const steps: [string, string[]][] = [
    ["The program, on the host that makes the backups:", ["sudo install -m 0755 dist/pg321 /usr/local/bin/"]],
    [
      "A role that may read everything, and is no superuser (in psql, as one):",
      [
        ...ROLE_STATEMENTS,
        dim(`-- and a line in pg_hba.conf that lets ${ROLE} in, unless it has one already`),
      ],
    ],
    [
      "The keys; copy identity.txt to a safe place off this host: without it no backup can be opened:",
      ["sudo pg321 key generate"],
    ],
    [
      "The config; config.example.toml tells every setting:",
      [
        "sudo install -m 0600 config.example.toml /etc/pg321/config.toml",
        "sudoedit /etc/pg321/config.toml",
        "sudo pg321 check",
      ],
    ],
    ["The first backup, and every copy of it read back:", ["sudo pg321 backup", "sudo pg321 verify"]],
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
