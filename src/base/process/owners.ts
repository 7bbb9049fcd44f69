import type { Stats } from "node:fs";
import { readFileSync } from "node:fs";
import { findAccount } from "./become-user.ts";

/** The owner of a file, by name if this host knows it, because ids differ from host to host. */
export interface Owner {
  user: string;
  group: string;
  uid: number;
  gid: number;
}

/** The owner of a file; an id without a name is shown as its number. */
export function ownerOf({ uid, gid }: Pick<Stats, "uid" | "gid">): Owner {
  return {
    user: findAccount(uid)?.name ?? String(uid),
    group: groupField(gid, 0) ?? String(gid),
    uid,
    gid,
  };
}

/** `pg321:pg321 0600` */
export function ownerText({ user, group }: Pick<Owner, "user" | "group">, mode: number): string {
  return `${user}:${group} ${modeText(mode)}`;
}

export function modeText(mode: number): string {
  return mode.toString(8).padStart(4, "0");
}

/** The ids of an owner's names on this host, and the names that are unknown here. */
export function idsOf({ user, group, uid, gid }: Owner): { uid: number; gid: number; unknown: string[] } {
  const found = user === String(uid) ? uid : findAccount(user)?.uid;
  const foundGroup = group === String(gid) ? gid : groupId(group);
  return {
    uid: found ?? uid,
    gid: foundGroup ?? gid,
    unknown: [
      ...(found === undefined ? [`user ${user}`] : []),
      ...(foundGroup === undefined ? [`group ${group}`] : []),
    ],
  };
}

function groupId(name: string): number | undefined {
  const id = groupField(name, 2);
  return id === undefined ? undefined : Number(id);
}

/** One field of the group with this id or name: 0 is its name, 2 its id. */
function groupField(key: number | string, field: 0 | 2): string | undefined {
  return fieldIn(readGroups(), key, field) ?? fieldIn(askDirectory(key), key, field);
}

function fieldIn(groups: string, key: number | string, field: 0 | 2): string | undefined {
  for (const line of groups.split("\n")) {
    const fields = line.split(":");
    if (fields.length > 2 && (typeof key === "number" ? Number(fields[2]) === key : fields[0] === key))
      return fields[field];
  }
  return undefined;
}

function readGroups(): string {
  try {
    return readFileSync("/etc/group", "utf8");
  } catch {
    return "";
  }
}

/** Groups from LDAP and other sources of libc that are not in /etc/group. */
function askDirectory(key: number | string): string {
  try {
    const { stdout } = Bun.spawnSync(["getent", "group", String(key)], {
      env: { PATH: "/usr/bin:/bin" },
      stdio: ["ignore", "pipe", "ignore"],
    });
    return stdout.toString();
  } catch {
    return "";
  }
}
