import { accessSync, constants } from "node:fs";
import { homedir, userInfo } from "node:os";
import { messageOf, Pg321Error } from "../errors.ts";
import { accountEntry } from "./accounts.ts";

/** A user of this machine. */
export interface Account {
  uid: number;
  gid: number;
  /** Undefined for an owner who is not in the user database, as in a container. */
  name: string | undefined;
  home: string | undefined;
}

let became: Account | undefined;

/** Bun has this function, but its types lack it. */
const { initgroups } = process as { initgroups?: (name: string, gid: number) => void };

/** Whether this process may become any other user. */
export function isRoot(): boolean {
  return process.geteuid?.() === 0;
}

/**
 * Switches from root to another user for good: all threads, with that user's groups and none of root's. Children
 * started from now on run as that user. A working directory that the user cannot enter is changed to `/`, because
 * PostgreSQL's programs complain about it. Throws code `usage`.
 */
export function becomeUser(account: Account): void {
  const { uid, gid, name } = account;
  try {
    // Change the groups first: that needs root's rights.
    if (name === undefined || !initgroups) process.setgroups?.([gid]);
    else initgroups(name, gid);
    process.setgid?.(gid);
    process.setuid?.(uid);
  } catch (cause) {
    throw new Pg321Error("usage", `cannot switch from root to ${accountText(account)}: ${messageOf(cause)}`, {
      hint: "run pg321 as that user, or give root the capabilities CAP_SETUID and CAP_SETGID",
      cause,
    });
  }
  if (process.geteuid?.() !== uid || process.getegid?.() !== gid)
    throw new Error(`still user ${process.geteuid?.()}, not ${uid}`);
  became = account;
  try {
    accessSync(".", constants.R_OK | constants.X_OK);
  } catch {
    process.chdir("/");
  }
}

/** `user "pg321"`, or `user 1000` for one without a name. */
function accountText({ name, uid }: Account): string {
  return name === undefined ? `user ${uid}` : `user "${name}"`;
}

/** The home directory of the current user; `HOME` may still name root's. */
export function homeDirectory(): string {
  return became ? (became.home ?? "/") : homedir();
}

/** The name of the current user, by the user database: Bun takes it from `USER`, which cron and systemd may not set. */
export function userName(): string {
  return became?.name ?? findAccount(process.geteuid?.() ?? -1)?.name ?? userInfo().username;
}

/** The account with this id or name; undefined if there is none. */
export function findAccount(key: number | string): Account | undefined {
  const entry = accountEntry("passwd", key);
  if (!entry) return undefined;
  const [name = "", , uid, gid, , home] = entry;
  return { uid: Number(uid), gid: Number(gid), name, home: home || undefined };
}
