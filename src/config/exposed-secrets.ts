import type { Stats } from "node:fs";
import { stat } from "node:fs/promises";
import type { Account } from "../base/process/become-user.ts";
import { findAccount } from "../base/process/become-user.ts";
import { ownerOf } from "../base/process/owners.ts";
import { shellQuoted } from "../base/text/shell.ts";

/**
 * Checks the permissions of a config with secrets. They are right as `install` sets them: owned by root, readable for
 * the service's group, and for nobody else. Returns who else can read it, and the commands that correct it; undefined
 * if they are right.
 */
export async function exposureOf(
  file: string,
  { mode, uid, gid }: Pick<Stats, "mode" | "uid" | "gid">,
  stateDir: string,
): Promise<{ readers: string; remedy: string } | undefined> {
  const service = await ownerOfState(stateDir);
  const isEveryones = (mode & 0o004) !== 0;
  const isOtherGroups = (mode & 0o040) !== 0 && gid !== service?.gid;
  if (!isEveryones && !isOtherGroups) return undefined;
  const needsGroup = service !== undefined && service.uid !== uid;
  return {
    readers: isEveryones ? "everyone" : "its group",
    remedy: needsGroup
      ? `chgrp ${ownerOf(service).group} ${shellQuoted(file)} && chmod 0640 ${shellQuoted(file)}`
      : `chmod 0600 ${shellQuoted(file)}`,
  };
}

/** The user that the service runs as; undefined if there is no service yet, or if root runs it. */
async function ownerOfState(stateDir: string): Promise<Account | undefined> {
  const stats = await stat(stateDir).catch(() => undefined);
  return stats === undefined || stats.uid === 0 ? undefined : findAccount(stats.uid);
}
