import { existsSync } from "node:fs";
import { open } from "node:fs/promises";
import { CLEAN_ENVIRONMENT } from "../postgres/libpq.ts";
import { ChildError, runChild } from "../stream/process.ts";

/** The service's user and group. They must be permanent, for peer authentication and the files of local storages. */
export const SERVICE_USER = "pg321";

export interface ServiceAccount {
  uid: number;
  gid: number;
}

/** The output of a system program. Throws `ChildError` unless its exit code is 0. */
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

/** Looks in every source of accounts that the host uses. */
async function entry(database: "passwd" | "group"): Promise<string[] | undefined> {
  try {
    return (await system("getent", database, SERVICE_USER)).trim().split(":");
  } catch (error) {
    // getent(1): one or more of the supplied keys could not be found.
    if (error instanceof ChildError && error.exitCode === 2) return undefined;
    throw error;
  }
}

/** Creates the user and the group if they do not exist. */
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

/** The output of a program that runs as the service's user, with no other rights. Throws as `system` does. */
export function asService(...argv: string[]): Promise<string> {
  return system("setpriv", `--reuid=${SERVICE_USER}`, `--regid=${SERVICE_USER}`, "--init-groups", ...argv);
}

/**
 * Whether test(1), run as the service's user, passes all `tests` on a path, groups and ACLs included: `r`, `w`, `x` for
 * rights, `d` for a directory.
 */
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

/** Whether systemd runs this host: it does not while an image is built, or in a plain container. */
export function isSystemdRunning(): boolean {
  return existsSync("/run/systemd/system");
}

export interface ServiceState {
  isActive: boolean;
  isEnabled: boolean;
  isFailed: boolean;
  /** Of the running service; 0 if it is not running. */
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
 * The version that an executable prints: `pg321 0.1.0 (abc1234)`; undefined if it prints none. A file that others
 * than root can change is not run: an attacker who has taken over the service may have put a program there.
 */
export async function versionOf(executable: string): Promise<string | undefined> {
  try {
    await using file = await open(executable);
    const stats = await file.stat();
    if (!stats.isFile() || stats.uid !== 0 || (stats.mode & 0o022) !== 0) return undefined;
    // Run the file that was just checked, even if the name leads to another one by now.
    return (await system(`/proc/${process.pid}/fd/${file.fd}`, "--version")).trim() || undefined;
  } catch (error) {
    if (error instanceof ChildError || (error instanceof Error && "syscall" in error)) return undefined;
    throw error;
  }
}
