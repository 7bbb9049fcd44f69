import type { Command } from "./command.ts";

interface Entry {
  name: string;
  summary: string;
  /** Loaded when it is called: `pg321 --version` must not wait for an S3 client. */
  load: () => Promise<{ command: Command }>;
}

/** Every command, in the order of help. */
export const COMMANDS: readonly Entry[] = [
  { name: "backup", summary: "back up databases to every storage", load: () => import("./backup.ts") },
  {
    name: "status",
    summary: "show the state of everything, the verdict first",
    load: () => import("./status.ts"),
  },
  { name: "list", summary: "list the backups", load: () => import("./list.ts") },
  { name: "show", summary: "show one backup and its copies", load: () => import("./show.ts") },
  { name: "verify", summary: "read copies back and check every byte", load: () => import("./verify.ts") },
  { name: "repair", summary: "fill missing copies from good ones", load: () => import("./repair.ts") },
  {
    name: "restore",
    summary: "restore a backup into a database, or to a file",
    load: () => import("./restore.ts"),
  },
  {
    name: "cleanup",
    summary: "delete what retention lets go, and what is left over",
    load: () => import("./cleanup.ts"),
  },
  { name: "hold", summary: "keep a backup, whatever its age", load: () => import("./hold.ts") },
  { name: "unhold", summary: "end the hold on a backup", load: () => import("./unhold.ts") },
  { name: "delete", summary: "delete one backup and all of its copies", load: () => import("./delete.ts") },
  {
    name: "forget",
    summary: "delete every backup of a database that is no more",
    load: () => import("./forget.ts"),
  },
  {
    name: "storage",
    summary: "accept a storage whose place has changed",
    load: () => import("./storage.ts"),
  },
  { name: "alerts", summary: "show the alerts and acknowledge them", load: () => import("./alerts.ts") },
  {
    name: "unseal",
    summary: "open a sealed file, without catalog or config",
    load: () => import("./unseal.ts"),
  },
  { name: "key", summary: "make and show the keys", load: () => import("./key.ts") },
  { name: "check", summary: "check the config and print what it means", load: () => import("./check.ts") },
  {
    name: "doctor",
    summary: "look at everything that a backup needs, and say what is not right",
    load: () => import("./doctor.ts"),
  },
  {
    name: "run",
    summary: "run the jobs when they are due, as the service does",
    load: () => import("./run.ts"),
  },
  {
    name: "schedule",
    summary: "show when the daemon runs each job next",
    load: () => import("./schedule.ts"),
  },
  {
    name: "install",
    summary: "install pg321 as a systemd service, or upgrade it",
    load: () => import("./install.ts"),
  },
  {
    name: "uninstall",
    summary: "remove the service and the executable, and no backup",
    load: () => import("./uninstall.ts"),
  },
];
