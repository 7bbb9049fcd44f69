import type { Stats } from "node:fs";
import { accountEntry } from "./accounts.ts";
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
    group: accountEntry("group", gid)?.[0] ?? String(gid),
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
  const groupId = accountEntry("group", group)?.[2];
  const foundGroup = group === String(gid) ? gid : groupId === undefined ? undefined : Number(groupId);
  return {
    uid: found ?? uid,
    gid: foundGroup ?? gid,
    unknown: [
      ...(found === undefined ? [`user ${user}`] : []),
      ...(foundGroup === undefined ? [`group ${group}`] : []),
    ],
  };
}
