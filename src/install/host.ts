import { existsSync } from "node:fs";
import { open } from "node:fs/promises";
import { CLEAN_ENVIRONMENT } from "../postgres/libpq.ts";
import { ChildError, runChild } from "../stream/process.ts";

/** The service's user and group. Peer authentication and the files of local storages need one that stays. */
export const SERVICE_USER = "pg321";

export interface ServiceAccount {
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

function hasProgram(name: string): boolean {
  return Bun.which(name, { PATH: CLEAN_ENVIRONMENT["PATH"] ?? "" }) !== null;
}

/** The service's user, with the group of the same name; undefined when either is missing. */
export async function serviceAccount(): Promise<ServiceAccount | undefined> {
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

/** What a program prints that runs with no more rights than the service's user. Throws as `system`. */
export function asService(...argv: string[]): Promise<string> {
  return system("setpriv", `--reuid=${SERVICE_USER}`, `--regid=${SERVICE_USER}`, "--init-groups", ...argv);
}

/** What test(1) says of a path as the service's user, by groups and lists, too: `rwx` of rights, `d` of a directory. */
export async function canService(tests: string, path: string): Promise<boolean> {
  const words = [...tests].flatMap((one, index) => [...(index > 0 ? ["-a"] : []), `-${one}`, path]);
  try {
    await asService("test", ...words);
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

/**
 * What an executable calls itself: `pg321 0.1.0 (abc1234)`; undefined when it says nothing of the kind. What is
 * not root's is not run: the service, taken over by somebody, may run a program of its own.
 */
export async function versionOf(executable: string): Promise<string | undefined> {
  try {
    await using file = await open(executable);
    const stats = await file.stat();
    if (!stats.isFile() || stats.uid !== 0 || (stats.mode & 0o022) !== 0) return undefined;
    // Of what was looked at, whatever has the name meanwhile.
    return (await system(`/proc/${process.pid}/fd/${file.fd}`, "--version")).trim() || undefined;
  } catch (error) {
    if (error instanceof ChildError || (error instanceof Error && "syscall" in error)) return undefined;
    throw error;
  }
}
