import { constants } from "node:fs";
import { access, readdir, readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { PLACE_MS_MAX, placeAt } from "../base/files/place.ts";
import { catalogUrlOf, certificateFiles } from "../config/certificate-files.ts";
import { type Config, DEFAULT_STATE_DIR } from "../config/config.ts";

/** The directories of the unit's drop-ins; `pg321 install` writes `DROP_IN_NAME` into the first. */
export const DROP_IN_DIRECTORIES = [
  "/etc/systemd/system/pg321.service.d",
  "/run/systemd/system/pg321.service.d",
  "/usr/lib/systemd/system/pg321.service.d",
] as const;
export const DROP_IN_NAME = "storages.conf";

/** Directories that the service can write to without a drop-in. */
const WRITABLE_ANYWAY = [DEFAULT_STATE_DIR, "/run/pg321"];
/** Directories that the unit hides: a path in them must be bound into the sandbox before it can be written to. */
const HIDDEN_HOMES = ["/home", "/root", "/run/user"];
const PRIVATE = ["/tmp", "/var/tmp"];
const HIDDEN = [...HIDDEN_HOMES, ...PRIVATE];

/** The settings that decide which paths the service needs outside its sandbox. */
export type Writing = Pick<Config, "state_dir" | "temp_dir" | "catalog" | "server" | "storage" | "notify">;

/** The directory of a catalog that is a file. */
export function catalogDirectory({ catalog }: Pick<Config, "catalog">): string[] {
  return catalog.type === "sqlite" ? [dirname(catalog.path)] : [];
}

/** The directories that a service with this config writes to and that need a drop-in. */
export function writtenPaths(config: Writing): string[] {
  const storages = config.storage.flatMap((storage) => (storage.type === "local" ? [storage.path] : []));
  const own = [config.state_dir, config.temp_dir, ...catalogDirectory(config)];
  const paths = [...new Set([...storages, ...own])].filter((path) => !isUnderAny(path, WRITABLE_ANYWAY));
  return paths.filter((path) => !paths.some((other) => other !== path && isUnder(path, other))).sort();
}

/** The certificates and their keys that a service with this config reads in directories that the unit hides. */
function hiddenFiles(config: Writing): string[] {
  const opened = writtenPaths(config);
  const files = certificateFiles(config).filter((file) => isUnderAny(file, HIDDEN));
  return files.filter((file) => !isUnderAny(file, opened)).sort();
}

/**
 * The drop-in that opens the sandbox for these directories, and for PostgreSQL sockets and certificates in hidden
 * directories.
 */
export function dropInText(config: Writing): string | undefined {
  const paths = writtenPaths(config);
  const servers = [...config.server, ...catalogUrlOf(config).flatMap(({ hosts }) => hosts)];
  const hosts = servers.map(({ host }) => host ?? "").filter((host) => isUnderAny(host, HIDDEN));
  const sockets = [...new Set(hosts)].sort();
  const files = hiddenFiles(config);
  const lines = [
    // Paths can be bound into an empty file system there, but not into an inaccessible directory.
    ...([...paths, ...sockets, ...files].some((path) => isUnderAny(path, HIDDEN_HOMES))
      ? ["ProtectHome=tmpfs"]
      : []),
    // A socket directly in /tmp is a new file at each start of the server, and only a directory can be bound.
    ...(sockets.some((path) => PRIVATE.includes(path)) ? ["PrivateTmp=no"] : []),
    ...paths.map((path) => `${isUnderAny(path, HIDDEN) ? "BindPaths" : "ReadWritePaths"}=${optional(path)}`),
    ...[...sockets.filter((path) => !PRIVATE.includes(path)), ...files].map(
      (path) => `BindReadOnlyPaths=${optional(path)}`,
    ),
  ];
  if (lines.length === 0) return undefined;
  const head = "# Written by `pg321 install`, from the paths in the config: run it again when they change.";
  return [head, "[Service]", ...lines, ""].join("\n");
}

/**
 * The directories that a service with this config writes to and that no drop-in opens yet. It reads the drop-in
 * files and does not know which of them systemd has loaded.
 */
export async function missingWritablePaths(
  config: Writing,
  directories: readonly string[] = DROP_IN_DIRECTORIES,
): Promise<string[]> {
  const opened = (await dropInTexts(directories)).flatMap((text) =>
    openedPaths(text, ["ReadWritePaths", "BindPaths"]),
  );
  return writtenPaths(config).filter(
    (path) =>
      !opened.some(
        ({ path: open, isBound }) => isUnder(path, open) && (isBound || !isUnderAny(path, HIDDEN)),
      ),
  );
}

/** The certificates of this config that the unit hides and that no drop-in makes visible. */
export async function missingReadableFiles(
  config: Writing,
  directories: readonly string[] = DROP_IN_DIRECTORIES,
): Promise<string[]> {
  const hidden = hiddenFiles(config);
  if (hidden.length === 0) return [];
  const texts = await dropInTexts(directories);
  const bound = texts.flatMap((text) => openedPaths(text, ["BindPaths", "BindReadOnlyPaths"]));
  return hidden.filter((file) => !bound.some(({ path }) => isUnder(file, path)));
}

/**
 * The directories of this config that are mounted read-only, as seen from inside the sandbox: the running service
 * cannot write to them until it is restarted with a matching drop-in. A directory that does not exist or does not
 * answer is left out.
 */
export async function readOnlyPaths(config: Writing): Promise<string[]> {
  const paths = writtenPaths(config);
  const codes = await Promise.all(
    paths.map((path) =>
      placeAt(path)
        .run({ what: path, limitMs: PLACE_MS_MAX }, () => access(path, constants.W_OK))
        .then(
          () => undefined,
          (error: NodeJS.ErrnoException) => error.code,
        ),
    ),
  );
  return paths.filter((_, index) => codes[index] === "EROFS");
}

/** The texts of the unit's drop-ins, whether systemd has loaded them or not. */
export async function dropInTexts(directories: readonly string[] = DROP_IN_DIRECTORIES): Promise<string[]> {
  return (await Promise.all(directories.map(dropInsIn))).flat();
}

async function dropInsIn(directory: string): Promise<string[]> {
  const missing = (error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT" || error.code === "ENOTDIR") return [];
    throw error;
  };
  const names = (await readdir(directory).catch(missing)).filter((name) => name.endsWith(".conf"));
  return Promise.all(names.map((name) => readFile(join(directory, name), "utf8")));
}

type Opening = "ReadWritePaths" | "BindPaths" | "BindReadOnlyPaths";

/** The paths that lines of these settings open. */
function openedPaths(text: string, settings: readonly Opening[]): { path: string; isBound: boolean }[] {
  return text.split("\n").flatMap((line) => {
    const [, name, value = ""] = /^\s*(\w+)\s*=(.*)$/.exec(line) ?? [];
    if (!settings.some((setting) => setting === name)) return [];
    const isBound = name !== "ReadWritePaths";
    return unquoted(value).map((word) => {
      const path = word.replace(/^[-+]+/, "");
      // SOURCE:DESTINATION:OPTIONS
      return { path: isBound ? (path.split(":")[1] ?? path) : path, isBound };
    });
  });
}

/**
 * A path as one quoted word of a unit file, in which a backslash escapes the next character. The leading dash means
 * "ignore if missing": an absent disk must not keep the service from the other storages.
 */
function optional(path: string): string {
  return `"-${path.replaceAll("%", "%%").replace(/["\\]/g, (character) => `\\${character}`)}"`;
}

/** The words of a value, split as systemd does; specifiers other than `%%` are not expanded. */
function unquoted(value: string): string[] {
  const words = value.match(/(?:"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|\\.|[^\s"'\\])+/g) ?? [];
  return words.map((word) =>
    word
      .replace(/"((?:\\.|[^"\\])*)"|'((?:\\.|[^'\\])*)'/g, (_, double = "", single = "") => double + single)
      .replace(/\\(.)/g, "$1")
      .replaceAll("%%", "%"),
  );
}

function isUnderAny(path: string, parents: readonly string[]): boolean {
  return parents.some((parent) => isUnder(path, parent));
}

function isUnder(path: string, parent: string): boolean {
  return path === parent || path.startsWith(parent === "/" ? "/" : `${parent.replace(/\/$/, "")}/`);
}
