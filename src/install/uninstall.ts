import { readdir, rm, rmdir } from "node:fs/promises";
import { dirname } from "node:path";
import { Pg321Error } from "../base/errors.ts";
import { visible } from "../base/text/visible.ts";
import { type Config, DEFAULT_STATE_DIR } from "../config/config.ts";
import { DEFAULT_CONFIG_PATH, loadConfig, processSource } from "../config/load.ts";
import { statsOf } from "./files.ts";
import { isSystemdRunning, SERVICE_USER, serviceAccount, serviceState, system } from "./host.ts";
import { CONFIG_DIRECTORY, CREDENTIALS_DIRECTORY } from "./install.ts";
import { EXECUTABLE_FILE, PAGE_FILE, refuseToUninstallPackage, UNIT_FILE } from "./packaged.ts";
import type { InstallStep } from "./steps.ts";
import { InstallSteps } from "./steps.ts";
import { DROP_IN_FILE } from "./storages.ts";

export interface UninstallReport {
  dry_run: boolean;
  steps: InstallStep[];
}

/**
 * Stops the service and removes it, the executable and the page for the worst night. Config, credentials, keys, catalog and every backup stay, each
 * reported with its place, and so does the user who owns them.
 */
export async function uninstall(options: { isDryRun: boolean }): Promise<UninstallReport> {
  await refuseToUninstallPackage();
  const steps = new InstallSteps(options.isDryRun);
  const config = await loadConfig(DEFAULT_CONFIG_PATH, processSource()).catch((error) => {
    if (error instanceof Pg321Error) return undefined;
    throw error;
  });
  await stopService(steps);
  for (const path of [UNIT_FILE, DROP_IN_FILE, EXECUTABLE_FILE, PAGE_FILE]) await removeFile(steps, path);
  await tidyDropIns(steps);
  await tidyPages(steps);
  if (isSystemdRunning() && steps.changed(UNIT_FILE, DROP_IN_FILE))
    await steps.change(
      "systemd",
      "daemon-reload",
      async () => void (await system("systemctl", "daemon-reload")),
    );
  await noteKept(steps, config);
  return { dry_run: options.isDryRun, steps: steps.steps };
}

async function stopService(steps: InstallSteps): Promise<void> {
  if ((await statsOf(UNIT_FILE)) === undefined) return;
  if (!isSystemdRunning()) {
    await steps.change(
      "service",
      "disabled",
      async () => void (await system("systemctl", "disable", "pg321")),
    );
    return;
  }
  const { isActive, isEnabled, isFailed } = await serviceState();
  if (isActive)
    await steps.change("service", "stopped; a run in progress gets time to finish", async () => {
      await system("systemctl", "stop", "pg321.service");
    });
  if (isFailed)
    await steps.change("service", "failed state reset", async () => {
      await system("systemctl", "reset-failed", "pg321.service");
    });
  if (isEnabled)
    await steps.change("service", "disabled", async () => {
      await system("systemctl", "disable", "pg321.service");
    });
}

async function removeFile(steps: InstallSteps, path: string): Promise<void> {
  if ((await statsOf(path)) === undefined) steps.note("right", path, "does not exist");
  else await steps.change(path, "removed", () => rm(path));
}

/** Removes the drop-in directory if it is empty; the administrator's own drop-ins stay. */
async function tidyDropIns(steps: InstallSteps): Promise<void> {
  const directory = dirname(DROP_IN_FILE);
  const names = await readdir(directory).catch(() => undefined);
  const left = names?.filter((name) => `${directory}/${name}` !== DROP_IN_FILE);
  if (left === undefined) return;
  if (left.length === 0) await steps.change(directory, "removed: it is empty", () => rmdir(directory));
  else steps.note("kept", directory, `your drop-ins: ${visible(left.join(", "))}`);
}

/** Removes the directory of the page if it is empty. */
async function tidyPages(steps: InstallSteps): Promise<void> {
  const directory = dirname(PAGE_FILE);
  const names = await readdir(directory).catch(() => undefined);
  if (names?.every((name) => `${directory}/${name}` === PAGE_FILE))
    await steps.change(directory, "removed: it is empty", () => rmdir(directory));
}

async function noteKept(steps: InstallSteps, config: Config | undefined): Promise<void> {
  const places: [path: string, detail: string][] = [
    [CONFIG_DIRECTORY, "the config and keys"],
    [CREDENTIALS_DIRECTORY, "the secrets"],
    [DEFAULT_STATE_DIR, "the catalog and the signing key"],
  ];
  for (const [path, detail] of places) if (await statsOf(path)) steps.note("kept", path, detail);
  for (const storage of config?.storage ?? []) {
    const place = storage.type === "local" ? storage.path : `${storage.endpoint} ${storage.bucket}`;
    steps.note("kept", visible(place), `the backups in storage "${storage.name}"`);
  }
  if (config === undefined)
    steps.note("kept", "storages", `every backup; ${DEFAULT_CONFIG_PATH} lists the storages`);
  if (await serviceAccount())
    steps.note(
      "kept",
      `user ${SERVICE_USER}`,
      `kept because it owns the files; remove it later with: userdel ${SERVICE_USER}`,
    );
}
