import type { Command } from "./command.ts";

export interface CommandEntry {
  name: string;
  /** One line for the list of commands. */
  summary: string;
  /** Loads the command when it is called: `pg321 --version` must not wait for an S3 client. */
  load: () => Promise<{ command: Command }>;
}

/** Every command, in the order of help. */
export const COMMANDS: readonly CommandEntry[] = [
  {
    name: "init",
    summary: "set up pg321 by questions, to a first proven backup",
    load: () => import("./commands/init.ts"),
  },
  {
    name: "backup",
    summary: "back up databases to every storage",
    load: () => import("./commands/backup.ts"),
  },
  {
    name: "status",
    summary: "show the overall state, with a verdict first",
    load: () => import("./commands/status.ts"),
  },
  { name: "list", summary: "list the backups", load: () => import("./commands/list.ts") },
  { name: "show", summary: "show one backup and its copies", load: () => import("./commands/show.ts") },
  {
    name: "diff",
    summary: "compare the tables, rows and sizes of two backups",
    load: () => import("./commands/diff.ts"),
  },
  {
    name: "du",
    summary: "show how much room the copies of each database take",
    load: () => import("./commands/du.ts"),
  },
  {
    name: "verify",
    summary: "read copies back and check every byte",
    load: () => import("./commands/verify.ts"),
  },
  {
    name: "repair",
    summary: "replace missing and damaged copies from good ones",
    load: () => import("./commands/repair.ts"),
  },
  {
    name: "restore",
    summary: "restore a backup into a database, or to a file",
    load: () => import("./commands/restore.ts"),
  },
  {
    name: "restore-test",
    summary: "restore backups into scratch databases and check them",
    load: () => import("./commands/restore-test.ts"),
  },
  {
    name: "resume-replay",
    summary: "resume the replay of standbys that a killed backup left paused",
    load: () => import("./commands/resume-replay.ts"),
  },
  {
    name: "cleanup",
    summary: "delete expired copies and leftovers",
    load: () => import("./commands/cleanup.ts"),
  },
  { name: "hold", summary: "keep a backup regardless of its age", load: () => import("./commands/hold.ts") },
  { name: "unhold", summary: "end the hold on a backup", load: () => import("./commands/unhold.ts") },
  {
    name: "delete",
    summary: "delete one backup and all of its copies",
    load: () => import("./commands/delete.ts"),
  },
  {
    name: "forget",
    summary: "delete all backups of a database that no longer exists",
    load: () => import("./commands/forget.ts"),
  },
  {
    name: "forget-host",
    summary: "remove a host that is gone from the fleet, but no backup",
    load: () => import("./commands/forget-host.ts"),
  },
  {
    name: "storage",
    summary: "accept a storage whose place has changed",
    load: () => import("./commands/storage.ts"),
  },
  {
    name: "catalog",
    summary: "copy the catalog to another place",
    load: () => import("./commands/catalog.ts"),
  },
  {
    name: "alerts",
    summary: "show and acknowledge alerts",
    load: () => import("./commands/alerts.ts"),
  },
  {
    name: "notify",
    summary: "send a test notice to the notifiers",
    load: () => import("./commands/notify.ts"),
  },
  {
    name: "unseal",
    summary: "open a sealed file, without catalog or config",
    load: () => import("./commands/unseal.ts"),
  },
  { name: "key", summary: "generate, show and rotate keys", load: () => import("./commands/key.ts") },
  {
    name: "export-keys",
    summary: "seal config, credentials and keys into one file, for a new host",
    load: () => import("./commands/export-keys.ts"),
  },
  {
    name: "restore-host",
    summary: "put an exported host back, and find its backups again",
    load: () => import("./commands/restore-host.ts"),
  },
  {
    name: "recovery-kit",
    summary: "write how to restore without pg321, with this installation's facts",
    load: () => import("./commands/recovery-kit.ts"),
  },
  {
    name: "check",
    summary: "check the config and print the settings in force",
    load: () => import("./commands/check.ts"),
  },
  {
    name: "doctor",
    summary: "check everything that a backup needs",
    load: () => import("./commands/doctor.ts"),
  },
  {
    name: "run",
    summary: "run the daemon, which starts jobs when they are due",
    load: () => import("./commands/run.ts"),
  },
  {
    name: "schedule",
    summary: "show the next runs of every schedule",
    load: () => import("./commands/schedule.ts"),
  },
  {
    name: "install",
    summary: "install pg321 as a systemd service, or upgrade it",
    load: () => import("./commands/install.ts"),
  },
  {
    name: "uninstall",
    summary: "remove the service and the executable, but no backup",
    load: () => import("./commands/uninstall.ts"),
  },
  {
    name: "completion",
    summary: "print the completion script of a shell",
    load: () => import("./commands/completion.ts"),
  },
];
