import { type Dirent, existsSync } from "node:fs";
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { ownerOf } from "../../base/process/owners.ts";
import type { Config } from "../../config/config.ts";
import { environmentFileOf } from "../../config/environment-file.ts";
import { DEFAULT_CONFIG_PATH, outsideOfConfig } from "../../config/load.ts";
import { SERVICE_USER } from "../host.ts";
import { DROP_IN_DIRECTORIES, DROP_IN_NAME } from "../writable-paths.ts";

export const HOST_FILE_ROLES = [
  "config",
  "value of the config",
  "certificate",
  "credential",
  "identity",
  "signing key",
  "drop-in of the unit",
] as const;
export type HostFileRole = (typeof HOST_FILE_ROLES)[number];

/** A file that a new host needs to restore and to continue as this installation. */
export interface HostFile {
  role: HostFileRole;
  path: string;
  /** The owner and mode that it should have; the existing file may have others. */
  user: string;
  group: string;
  mode: number;
}

/**
 * The list of all files that must survive the loss of this host: config, files that the config reads values from,
 * credentials, the environment file, identity, signing key, and drop-ins of the unit. It does not check whether they exist. Files in
 * directories that only root can list are missing if another user asks.
 */
export async function hostFiles(config: Config): Promise<HostFile[]> {
  const outside = await outsideOfConfig(config.file);
  const { user, group } = await serviceOwner(config.state_dir);
  const isService = user === SERVICE_USER;
  const own = isService ? SERVICES : { user, group, mode: 0o600 };
  const shared = isService ? ROOT_AND_SERVICE : own;
  const secret = isService ? ROOTS : own;
  const { identity_file, signing_key_file, mode } = config.encryption;
  // Who encrypts nothing need not sign either.
  const hasSigningKey = mode !== "none" || existsSync(signing_key_file);
  const unit = config.file === DEFAULT_CONFIG_PATH ? await filesOfUnit(DROP_IN_DIRECTORIES[0]) : undefined;
  const credentials = [
    ...outside.credentialFiles,
    ...(await filesIn(outside.credentialDirectory)),
    ...(await existing(environmentFileOf(config.file))),
    ...(unit?.credentialFiles ?? []),
  ];
  const files: HostFile[] = [
    { role: "config", path: config.file, ...shared },
    ...outside.valueFiles.map((path) => ({ role: "value of the config" as const, path, ...shared })),
    ...outside.certificateFiles.map((path) => ({ role: "certificate" as const, path, ...shared })),
    ...credentials.map((path) => ({ role: "credential" as const, path, ...secret })),
    ...(identity_file === undefined
      ? []
      : [{ role: "identity" as const, path: identity_file, ...(isService ? secret : own) }]),
    ...(hasSigningKey ? [{ role: "signing key" as const, path: signing_key_file, ...own }] : []),
    ...(unit?.dropIns ?? []).map((path) => ({
      role: "drop-in of the unit" as const,
      path,
      ...{ user: "root", group: "root", mode: 0o644 },
    })),
  ];
  // A file with two purposes is listed once.
  return files.filter(({ path }, index) => files.findIndex((other) => other.path === path) === index);
}

const SERVICES = { user: SERVICE_USER, group: SERVICE_USER, mode: 0o600 };
const ROOT_AND_SERVICE = { user: "root", group: SERVICE_USER, mode: 0o640 };
const ROOTS = { user: "root", group: "root", mode: 0o600 };

/** The environment variables that the config reads values from: perhaps no file in the list contains them. */
export async function variablesOf(config: Config): Promise<string[]> {
  return (await outsideOfConfig(config.file)).variables;
}

async function serviceOwner(stateDir: string): Promise<{ user: string; group: string }> {
  const stats = await stat(stateDir).catch(() => undefined);
  return stats ? ownerOf(stats) : { user: SERVICE_USER, group: SERVICE_USER };
}

/** The environment file is optional. */
async function existing(file: string): Promise<string[]> {
  return (await stat(file).catch(() => undefined)) ? [file] : [];
}

/** The files directly in a directory; empty if it does not exist or cannot be listed. */
async function filesIn(directory: string): Promise<string[]> {
  const entries = await readdir(directory, { withFileTypes: true }).catch((): Dirent[] => []);
  return entries
    .filter((entry) => !entry.isDirectory() && !entry.name.startsWith("."))
    .map(({ name }) => join(directory, name))
    .sort();
}

interface UnitFiles {
  /** Drop-ins that a person wrote, without the one that `install` writes. */
  dropIns: string[];
  credentialFiles: string[];
}

/** The drop-ins in a directory, and the files that they pass to the service as credentials or environment. */
export async function filesOfUnit(directory: string): Promise<UnitFiles> {
  const dropIns = (await filesIn(directory)).filter(
    (path) => path.endsWith(".conf") && path !== join(directory, DROP_IN_NAME),
  );
  const texts = await Promise.all(dropIns.map((path) => readFile(path, "utf8").catch(() => "")));
  const named = texts.flatMap((text) => [
    ...[...text.matchAll(/^\s*LoadCredential\s*=\s*[^:\s]+:(\/\S+)\s*$/gm)].map(([, path = ""]) => path),
    ...[...text.matchAll(/^\s*EnvironmentFile\s*=\s*-?(\/\S+)\s*$/gm)].map(([, path = ""]) => path),
  ]);
  const stats = await Promise.all(named.map((path) => stat(path).catch(() => undefined)));
  const directories = named.filter((_, index) => stats[index]?.isDirectory());
  const inside = await Promise.all(directories.map(filesIn));
  const files = named.filter((path) => !directories.includes(path));
  return { dropIns, credentialFiles: [...files, ...inside.flat()] };
}
