import { existsSync } from "node:fs";
import { CLEAN_ENVIRONMENT } from "../postgres/libpq.ts";
import { ChildError, runChild } from "../stream/process.ts";

/** The service's user and group. Peer authentication and the files of local storages need one that stays. */
export const SERVICE_USER = "pg321";

export interface Account {
  uid: number;
  gid: number;
}

/** What a program of the system prints. Throws `ChildError` unless it ends with 0. */
export async function system(...argv: string[]): Promise<string> {
  const path = Bun.which(argv[0] ?? "", { PATH: CLEAN_ENVIRONMENT["PATH"] ?? "" });
  const { stdout } = await runChild({
    argv: [path ?? argv[0] ?? "", ...argv.slice(1)],
    env: { ...CLEAN_ENVIRONMENT },
  });
  return stdout;
}

export function hasProgram(name: string): boolean {
  return Bun.which(name, { PATH: CLEAN_ENVIRONMENT["PATH"] ?? "" }) !== null;
}

/** The service's user, with the group of the same name; undefined when either is missing. */
export async function serviceAccount(): Promise<Account | undefined> {
  const [user, group] = await Promise.all([entry("passwd"), entry("group")]);
  return user && group && { uid: Number(user[2]), gid: Number(group[2]) };
}

/** From wherever the host has its accounts. */
async function entry(database: "passwd" | "group"): Promise<string[] | undefined> {
  try {
    return (await system("getent", database, SERVICE_USER)).trim().split(":");
  } catch (error) {
    // getent(1): one or more of the supplied keys could not be found.
    if (error instanceof ChildError && error.exitCode === 2) return undefined;
    throw error;
  }
}

/** Makes what of user and group is missing. */
export async function makeAccount(home: string): Promise<void> {
  const comment = "PostgreSQL backups";
  if (hasProgram("systemd-sysusers")) {
    await system(
      "systemd-sysusers",
      "--inline",
      `u ${SERVICE_USER} - "${comment}" ${home} /usr/sbin/nologin`,
    );
    return;
  }
  if (!(await entry("group"))) await system("groupadd", "--system", SERVICE_USER);
  if (await entry("passwd")) return;
  const identity = ["--system", "--gid", SERVICE_USER, "--comment", comment];
  const place = ["--home-dir", home, "--no-create-home", "--shell", "/usr/sbin/nologin"];
  await system("useradd", ...identity, ...place, SERVICE_USER);
}

/** Whether the service's user has rights on a path (`rwx` of them), by groups and lists, too. */
export async function canService(rights: string, path: string): Promise<boolean> {
  const asService = [`--reuid=${SERVICE_USER}`, `--regid=${SERVICE_USER}`, "--init-groups"];
  const tests = [...rights].flatMap((right, index) => [...(index > 0 ? ["-a"] : []), `-${right}`, path]);
  try {
    await system("setpriv", ...asService, "test", ...tests);
    return true;
  } catch (error) {
    if (error instanceof ChildError && error.exitCode === 1) return false;
    throw error;
  }
}

/** Whether systemd is what started this host: not so in an image that is being built, or a plain container. */
export function isSystemdRunning(): boolean {
  return existsSync("/run/systemd/system");
}

export interface ServiceState {
  isActive: boolean;
  isEnabled: boolean;
  isFailed: boolean;
  /** Of the running service; 0 when it does not run. */
  pid: number;
}

export async function serviceState(): Promise<ServiceState> {
  const properties = "--property=ActiveState,UnitFileState,MainPID";
  const lines = (await system("systemctl", "show", "pg321.service", properties)).trim().split("\n");
  const values = Object.fromEntries(lines.map((line) => line.split("=", 2) as [string, string]));
  return {
    isActive: /^(active|reloading|activating)$/.test(values["ActiveState"] ?? ""),
    isEnabled: values["UnitFileState"] === "enabled",
    isFailed: values["ActiveState"] === "failed",
    pid: Number(values["MainPID"] ?? 0),
  };
}

/** What an executable calls itself: `pg321 0.1.0 (abc1234)`; undefined when it says nothing of the kind. */
export async function versionOf(executable: string): Promise<string | undefined> {
  try {
    return (await system(executable, "--version")).trim() || undefined;
  } catch (error) {
    if (error instanceof ChildError) return undefined;
    throw error;
  }
}
