import { readFile, realpath, stat } from "node:fs/promises";
import UNIT from "../../systemd/pg321.service" with { type: "text" };
import type { Clock } from "../base/clock.ts";
import { Pg321Error } from "../base/errors.ts";
import { ownerText } from "../base/process/owners.ts";
import { COMMIT, VERSION } from "../base/version.ts";
import { refuseNewerCatalog } from "../catalog/open.ts";
import { type Config, DEFAULT_STATE_DIR } from "../config/config.ts";
import { DEFAULT_CONFIG_PATH, loadConfig, processSource } from "../config/load.ts";
import { ConfigError } from "../config/problems.ts";
import type { Ownership } from "./files.ts";
import {
  ensureDirectory,
  ensureFile,
  isRunningExecutable,
  placeRunningExecutable,
  ROOT,
  statsOf,
} from "./files.ts";
import { hasKeys, installConfig, installKeys, isUnfinished, refuseHalfOfKeys } from "./first-config.ts";
import type { ServiceAccount, ServiceState } from "./host.ts";
import {
  isSystemdRunning,
  makeAccount,
  SERVICE_USER,
  serviceAccount,
  serviceState,
  system,
  versionOf,
} from "./host.ts";
import { hostFiles } from "./host-files/list.ts";
import { isPresent, surveyHostFiles } from "./host-files/survey.ts";
import { noteNetwork } from "./network.ts";
import {
  EXECUTABLE_FILE,
  filesBeforePackage,
  isFromPackage,
  PACKAGED_EXECUTABLE,
  PACKAGED_UNIT,
  PAGE_FILE,
  refuseBesidePackage,
  UNIT_FILE,
} from "./packaged.ts";
import { RECOVERY_PAGE } from "./recovery-page.ts";
import type { InstallStep } from "./steps.ts";
import { InstallSteps } from "./steps.ts";
import { DROP_IN_FILE, installStorages } from "./storages.ts";

export const CONFIG_DIRECTORY = "/etc/pg321";
export const CREDENTIALS_DIRECTORY: string = `${CONFIG_DIRECTORY}/credentials`;

const DEFAULT_CATALOG_FILE = `${DEFAULT_STATE_DIR}/catalog.db`;
const OWN_VERSION = `pg321 ${VERSION} (${COMMIT})`;

export interface InstallReport {
  dry_run: boolean;
  /** The output of `--version`. */
  version: string;
  steps: InstallStep[];
  /** What is left for a person to do, in order. */
  next: string[];
}

export interface Installed {
  report: InstallReport;
  /** The mistakes of a config that was complete before, or that a running service uses: it could not start again. */
  mistakes: ConfigError | undefined;
}

export interface InstallOptions {
  isDryRun: boolean;
  /** Makes the keys of a new installation if there are none. */
  generatesKeys: boolean;
  /** Starts the service, also at every boot. */
  starts: boolean;
  clock: Clock;
}

/**
 * Installs this executable as a service of this host: account, directories, config, executable, the page for the worst
 * night, unit, sandbox.
 * Whatever is already right stays as it is; a config that somebody edited is never changed, and nothing is restarted.
 * Throws code `usage`, before anything is changed, if the catalog needs a newer pg321, or if the service could not
 * start with its config.
 */
export async function install(options: InstallOptions): Promise<Installed> {
  const { isDryRun, generatesKeys, starts, clock } = options;
  const isPackaged = await isFromPackage();
  if (!isPackaged) refuseBesidePackage();
  const loaded = await usableConfig({ mustBeValid: starts });
  const config = loaded instanceof ConfigError ? undefined : loaded;
  const catalog = config?.catalog.type === "sqlite" ? config.catalog.path : DEFAULT_CATALOG_FILE;
  if (config?.catalog.type !== "postgres") refuseNewerCatalog(catalog);
  const steps = new InstallSteps(isDryRun);
  if (generatesKeys) await refuseHalfOfKeys(catalog);
  const account = await installAccount(steps);
  await ensureDirectory(steps, CONFIG_DIRECTORY, { ...ROOT, mode: 0o755 });
  await ensureDirectory(steps, CREDENTIALS_DIRECTORY, { ...ROOT, mode: 0o700 });
  await installState(steps, account);
  if (generatesKeys) await installKeys(steps, account, clock);
  await installConfig(steps, account);
  if (isPackaged) await notePackage(steps);
  else await installProgram(steps);
  if (config !== undefined) {
    await installStorages(steps, config, account);
    await noteNetwork(steps, config);
  } else {
    const detail = `${DEFAULT_CONFIG_PATH} is not valid: correct it, check it with pg321 check, and run this again`;
    steps.note("attention", DROP_IN_FILE, detail);
  }
  const state = await reloadSystemd(steps);
  const isStarted = starts && state !== undefined && (await startService(steps, state));
  const isNew = state?.isActive !== true && (await hasUnfinishedConfig());
  const mistakes = loaded instanceof ConfigError && !isNew ? loaded : undefined;
  const next = await nextSteps(steps, state, config, { isStarted, isBroken: mistakes !== undefined });
  const report = { dry_run: options.isDryRun, version: OWN_VERSION, steps: steps.steps, next };
  return { report, mistakes };
}

async function hasUnfinishedConfig(): Promise<boolean> {
  const text = await readFile(DEFAULT_CONFIG_PATH, "utf8").catch(() => undefined);
  return text === undefined || isUnfinished(text);
}

/** The service's config, or its mistakes, unless these are to be thrown; undefined while it does not exist. */
async function usableConfig({
  mustBeValid,
}: {
  mustBeValid: boolean;
}): Promise<Config | ConfigError | undefined> {
  if ((await statsOf(DEFAULT_CONFIG_PATH, stat)) === undefined) {
    if (!mustBeValid) return undefined;
    throw new Pg321Error("usage", `${DEFAULT_CONFIG_PATH}: there is no such config file`, {
      hint: "run install without --start first: it writes a short config; fill in its marked lines, then run install --start",
    });
  }
  try {
    return await loadConfig(DEFAULT_CONFIG_PATH, processSource());
  } catch (error) {
    if (error instanceof Pg321Error && !mustBeValid) return error instanceof ConfigError ? error : undefined;
    throw error;
  }
}

async function installAccount(steps: InstallSteps): Promise<ServiceAccount | undefined> {
  const account = await serviceAccount();
  const name = `user ${SERVICE_USER}`;
  if (account !== undefined) steps.note("right", name, `uid ${account.uid}, gid ${account.gid}`);
  else await steps.change(name, "system user and group, no login", () => makeAccount(DEFAULT_STATE_DIR));
  return account ?? (await serviceAccount());
}

async function installState(steps: InstallSteps, account: ServiceAccount | undefined): Promise<void> {
  const owner: Ownership = {
    name: `${SERVICE_USER}:${SERVICE_USER}`,
    uid: account?.uid,
    gid: account?.gid,
    mode: 0o700,
  };
  const stats = await statsOf(DEFAULT_STATE_DIR, stat);
  if (stats === undefined || (stats.uid === owner.uid && stats.gid === owner.gid))
    return ensureDirectory(steps, DEFAULT_STATE_DIR, owner);
  // systemd does the same with a StateDirectory= of another owner: files that root has made here so far are needed.
  await steps.change(
    DEFAULT_STATE_DIR,
    `owner of it and of everything in it changed to ${owner.name}`,
    async () => {
      await system("chown", "-R", "--no-dereference", owner.name, await realpath(DEFAULT_STATE_DIR));
      await system("chmod", "0700", DEFAULT_STATE_DIR);
    },
  );
}

/** Executable, page and unit belong to the package manager. */
async function notePackage(steps: InstallSteps): Promise<void> {
  steps.note("right", PACKAGED_EXECUTABLE, `${OWN_VERSION}, from its package`);
  steps.note("right", PACKAGED_UNIT, "from its package");
  for (const path of await filesBeforePackage()) {
    const then = "sudo /usr/local/bin/pg321 uninstall && sudo /usr/bin/pg321 install --start";
    steps.note("attention", path, `from before the package, and used in its place: ${then}`);
  }
}

async function installProgram(steps: InstallSteps): Promise<void> {
  await installExecutable(steps);
  await ensureFile(steps, PAGE_FILE, RECOVERY_PAGE, { ...ROOT, mode: 0o644 });
  await ensureFile(steps, UNIT_FILE, UNIT, { ...ROOT, mode: 0o644 });
}

async function installExecutable(steps: InstallSteps): Promise<void> {
  if (await isRunningExecutable(EXECUTABLE_FILE)) return steps.note("right", EXECUTABLE_FILE, OWN_VERSION);
  const stats = await statsOf(EXECUTABLE_FILE);
  const old = stats === undefined ? undefined : await versionOf(EXECUTABLE_FILE);
  const detail = stats === undefined ? OWN_VERSION : `${OWN_VERSION} in place of ${old ?? "another file"}`;
  await steps.change(EXECUTABLE_FILE, detail, () => placeRunningExecutable(EXECUTABLE_FILE));
}

const SYSTEMD = "systemd";
const SERVICE = "pg321.service";

/** The state of the service; undefined if systemd is not running. */
async function reloadSystemd(steps: InstallSteps): Promise<ServiceState | undefined> {
  if (!isSystemdRunning()) {
    steps.note("attention", SYSTEMD, "not running here: it loads the unit when it starts");
    return undefined;
  }
  if (steps.changed(UNIT_FILE, DROP_IN_FILE))
    await steps.change(
      SYSTEMD,
      "daemon-reload",
      async () => void (await system("systemctl", "daemon-reload")),
    );
  else steps.note("right", SYSTEMD, "has loaded the unit");
  return serviceState();
}

/** Starts the service if it is not running yet, now and at every boot; returns whether it did. */
async function startService(steps: InstallSteps, { isActive, isEnabled }: ServiceState): Promise<boolean> {
  if (isActive && isEnabled) {
    steps.note("right", SERVICE, "runs, and starts at every boot");
    return false;
  }
  await steps.change(SERVICE, "enabled and started", async () => {
    await system("systemctl", "enable", "--now", SERVICE);
  });
  return !isActive;
}

const ROLE = [
  "create the role pg321 in PostgreSQL (it can read everything, but is not a superuser):",
  'sudo -u postgres psql -c "CREATE ROLE pg321 LOGIN BYPASSRLS" \\',
  '    -c "GRANT pg_read_all_data, pg_read_all_settings TO pg321" \\',
  '    -c "ALTER ROLE pg321 SET lo_compat_privileges = on"',
].join("\n");
const KEY = [
  "make the keys; a config that has not been edited yet gets the public key:",
  "sudo pg321 install --generate-keys",
].join("\n");
const COMPLETE = [
  `complete the lines marked FILL IN (secrets as files in ${CREDENTIALS_DIRECTORY}):`,
  `sudoedit ${DEFAULT_CONFIG_PATH}`,
].join("\n");
const CORRECT = [
  "correct the config and run this again; until then do not restart the service, because it would not start:",
  `sudoedit ${DEFAULT_CONFIG_PATH}`,
  "sudo pg321 install",
].join("\n");
const START = [
  "create the directories of local storages and start the service, or see every mistake in the config:",
  "sudo pg321 install --start",
].join("\n");
const BACKUP = [
  "make the first backup, then check whether anything is missing; README.md shows how to test a restore:",
  "sudo pg321 backup",
  "sudo pg321 doctor",
].join("\n");

const START_ONLY = [
  "check that everything is reachable, then start the service:",
  "sudo pg321 doctor && sudo systemctl enable --now pg321",
].join("\n");

/** Without these files a new host can neither restore nor go on. */
async function keepElsewhere(config: Config): Promise<string> {
  const files = await surveyHostFiles(await hostFiles(config));
  return [
    "seal the files that a new host needs into one, and keep it and its passphrase away from this host:",
    "sudo pg321 export-keys /root/pg321-host-$(date +%F).age",
    ...files.map((one) => {
      const { role, path, ...wanted } = one.file;
      // The files that are there keep their owner and mode; the others will have the usual ones.
      const rights = isPresent(one) ? one.rights : wanted;
      return `    ${path} (${role}, ${ownerText(rights, rights.mode)})`;
    }),
  ].join("\n");
}

async function nextSteps(
  steps: InstallSteps,
  state: ServiceState | undefined,
  config: Config | undefined,
  { isStarted, isBroken }: { isStarted: boolean; isBroken: boolean },
): Promise<string[]> {
  if (isStarted && config !== undefined) return [BACKUP, await keepElsewhere(config)];
  if (state === undefined || !state.isActive) {
    if (config !== undefined) return [START_ONLY, await keepElsewhere(config)];
    const complete = isBroken ? CORRECT : COMPLETE;
    return (await hasKeys(steps)) ? [ROLE, complete, START] : [ROLE, KEY, complete, START];
  }
  if (isBroken) return [CORRECT];
  const running = state.pid > 0 ? await versionOf(`/proc/${state.pid}/exe`) : undefined;
  const isOther = state.pid > 0 && running !== OWN_VERSION;
  if (!isOther && !steps.changed(EXECUTABLE_FILE, UNIT_FILE, DROP_IN_FILE)) return [];
  const other = running === undefined ? "it runs another program" : `it still runs ${running}`;
  const reason = isOther ? other : "the changes take effect then";
  return [
    `restart the service: ${reason}; a running backup gets time to finish:\nsudo systemctl restart pg321`,
  ];
}
