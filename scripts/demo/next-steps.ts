import type { Style } from "../../src/cli/output/output.ts";
import { ROLE, ROLE_STATEMENTS } from "./database.ts";

/** The next steps, with a real server. */
export function nextSteps({ bold, dim }: Style): string[] {
  const steps: [string, string[]][] = [
    ["Install the service, on the host that makes the backups:", ["sudo dist/pg321 install"]],
    [
      "Create a role that may read everything but is not a superuser (in psql, as superuser):",
      [
        ...ROLE_STATEMENTS.map((statement) => statement.replace(" PASSWORD '…'", "")),
        dim(
          `-- no password: the system user ${ROLE} logs in over the Unix socket; see README.md for another host`,
        ),
      ],
    ],
    [
      "Generate the keys; copy identity.txt to a safe place off this host: without it no backup can be opened:",
      ["sudo pg321 key generate"],
    ],
    [
      "Edit the config, which explains every setting; then apply it, and check everything that a backup needs:",
      ["sudoedit /etc/pg321/config.toml", "sudo pg321 check", "sudo pg321 install", "sudo pg321 doctor"],
    ],
    ["Make the first backup, and read every copy back:", ["sudo pg321 backup", "sudo pg321 verify"]],
    [
      "Start the daemon, which makes all further backups:",
      ["sudo systemctl enable --now pg321", "curl http://127.0.0.1:8321/status"],
    ],
    [
      "Test a restore before you need it (here to a server where you are superuser; its roles must exist):",
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
    "README.md explains more; docs/recovery.md says what to do at 3 a.m.",
  ];
}
