import { chmod, chown, readdir, readFile, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { messageOf } from "../base/errors.ts";
import { isAtOrBelow, mountsOf, readMountinfo, unescapedMount } from "../base/files/mounts.ts";
import { requireAnswer } from "../base/files/place.ts";
import { shellQuoted } from "../base/text/shell.ts";
import { type Config, DEFAULT_STATE_DIR } from "../config/config.ts";
import { ensureFile, mkdirBelow, ROOT, statsOf } from "./files.ts";
import type { ServiceAccount } from "./host.ts";
import { asService, canService, SERVICE_USER } from "./host.ts";
import { writableByOthers } from "./root-only.ts";
import type { InstallSteps } from "./steps.ts";
import {
  catalogDirectory,
  DROP_IN_DIRECTORIES,
  DROP_IN_NAME,
  dropInText,
  writtenPaths,
} from "./writable-paths.ts";

export const DROP_IN_FILE: string = join(DROP_IN_DIRECTORIES[0], DROP_IN_NAME);

/** Creates the directories in the config if it can, and makes them writable in the unit's sandbox. */
export async function installStorages(
  steps: InstallSteps,
  config: Config,
  account: ServiceAccount | undefined,
): Promise<void> {
  const paths = config.storage.flatMap((storage) => (storage.type === "local" ? [storage.path] : []));
  const own = [config.state_dir, ...catalogDirectory(config)].filter((path) => path !== DEFAULT_STATE_DIR);
  for (const path of new Set([...own, ...writtenPaths(config), ...paths]))
    await installDirectory(steps, path, account);
  const text = dropInText(config);
  if (text !== undefined) await ensureFile(steps, DROP_IN_FILE, text, { ...ROOT, mode: 0o644 });
  else if (await statsOf(DROP_IN_FILE))
    await steps.change(DROP_IN_FILE, "removed: the config needs no other writable directory", () =>
      rm(DROP_IN_FILE),
    );
}

async function installDirectory(
  steps: InstallSteps,
  path: string,
  account: ServiceAccount | undefined,
): Promise<void> {
  const silent = await requireAnswer(path, path).catch((error) => error);
  if (silent) return steps.note("attention", path, messageOf(silent));
  // Ask as the service first: on a network disk, root may have fewer rights.
  if (account !== undefined && (await canService("drwx", path)))
    return steps.note("right", path, `${SERVICE_USER} can write to it`);
  const entries = await readdir(path).catch((error: NodeJS.ErrnoException) => error);
  if (entries instanceof Error) {
    if (entries.code === "ENOENT") return await makeDirectory(steps, path, account);
    return steps.note(
      "attention",
      path,
      `not a directory that ${SERVICE_USER} can write to: ${entries.code}`,
    );
  }
  const closed = account && (await closedAbove(path));
  if (closed !== undefined) {
    const detail = `${SERVICE_USER} cannot enter ${closed}: the service can use the path in its sandbox, commands cannot. Use another place`;
    return steps.note("attention", path, detail);
  }
  const advice = `chown -R ${SERVICE_USER}: ${shellQuoted(path)}`;
  const why = entries.length > 0 ? "it is not empty" : "it does not belong to root";
  if (entries.length > 0 || (await stat(path)).uid !== 0)
    return steps.note("attention", path, `${SERVICE_USER} cannot write to it, and ${why}: ${advice}`);
  const open = await writableByOthers(path);
  if (open !== undefined) {
    const detail = `${SERVICE_USER} cannot write to it, and others than root can change ${open}: check where the path leads, then ${advice}`;
    return steps.note("attention", path, detail);
  }
  await steps.change(path, `owner changed to ${SERVICE_USER}: it is empty`, () => give(path, account));
}

async function give(path: string, account: ServiceAccount | undefined): Promise<void> {
  await chown(path, account?.uid ?? 0, account?.gid ?? 0);
}

async function makeDirectory(
  steps: InstallSteps,
  path: string,
  account: ServiceAccount | undefined,
): Promise<void> {
  const mountPoint = await missingMount(path);
  if (mountPoint !== undefined) {
    const detail = `not created: ${mountPoint} is in /etc/fstab but not mounted. Mount it, then run this again`;
    return steps.note("attention", path, detail);
  }
  const detail = `directory, ${SERVICE_USER}:${SERVICE_USER} 0700`;
  const open = await writableByOthers(path);
  if (open === undefined) {
    return steps.change(path, detail, async () => {
      await mkdirBelow(path);
      await give(path, account);
      await chmod(path, 0o700);
    });
  }
  if (account !== undefined && (await canMakeBelow(path)))
    return steps.change(path, detail, () =>
      asService("mkdir", "-p", "-m", "0700", "--", path).then(() => {}),
    );
  const advice = `install -d -m 0700 -o ${SERVICE_USER} -g ${SERVICE_USER} ${shellQuoted(path)}`;
  steps.note("attention", path, `not created: others than root can change ${open}. Create it: ${advice}`);
}

/** Whether the service's user can create a missing directory and those above it. */
async function canMakeBelow(path: string): Promise<boolean> {
  const above = dirname(path);
  if ((await statsOf(above)) !== undefined) return await canService("dwx", above);
  return await canMakeBelow(above);
}

/** The topmost directory above a path that the service's user cannot enter. */
async function closedAbove(path: string): Promise<string | undefined> {
  const above = dirname(path);
  if (above === path) return undefined;
  return (await closedAbove(above)) ?? ((await canService("x", above)) ? undefined : above);
}

/** The mount point in fstab above a path where nothing is mounted: a mount would later hide files created there. */
async function missingMount(path: string): Promise<string | undefined> {
  const fstab = await readFile("/etc/fstab", "utf8").catch(() => "");
  const now = mountsOf(await readMountinfo()).map(({ point }) => point);
  const known = mountPointsOf(fstab).filter((point) => point !== "/");
  return known.find((point) => isAtOrBelow(path, point) && !now.includes(point));
}

/** The second column of fstab(5). */
function mountPointsOf(fstab: string): string[] {
  return fstab
    .split("\n")
    .filter((line) => !/^\s*(#|$)/.test(line))
    .map((line) => unescapedMount(line.trim().split(/\s+/)[1] ?? ""));
}
