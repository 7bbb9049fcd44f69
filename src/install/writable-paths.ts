import { constants } from "node:fs";
import { access, readdir, readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { PLACE_MS_MAX, placeAt } from "../base/files/place.ts";
import { type Config, DEFAULT_STATE_DIR } from "../config/config.ts";

/** Not there: no service of `pg321 install` on this host, and no drop-in to miss. */
export const UNIT_FILE = "/etc/systemd/system/pg321.service";
/** Where the unit's drop-ins lie; `pg321 install` writes `DROP_IN_NAME` into the first. */
export const DROP_IN_DIRECTORIES = [
  "/etc/systemd/system/pg321.service.d",
  "/run/systemd/system/pg321.service.d",
  "/usr/lib/systemd/system/pg321.service.d",
] as const;
export const DROP_IN_NAME = "storages.conf";

/** What the unit lets the service write without a drop-in. */
const WRITABLE_ANYWAY = [DEFAULT_STATE_DIR, "/run/pg321"];
/** What the unit hides: a path in it must be bound, it is not there to be made writable. */
const HIDDEN_HOMES = ["/home", "/root", "/run/user"];
const PRIVATE = ["/tmp", "/var/tmp"];
const HIDDEN = [...HIDDEN_HOMES, ...PRIVATE];

/** What of a config says where a service reaches out of its sandbox. */
export type Writing = Pick<Config, "state_dir" | "temp_dir" | "catalog" | "server" | "storage">;

/** The directories that a service with this config writes and that the unit alone does not let it write. */
export function writtenPaths(config: Writing): string[] {
  const storages = config.storage.flatMap((storage) => (storage.type === "local" ? [storage.path] : []));
  const own = [config.state_dir, config.temp_dir, dirname(config.catalog.path)];
  const paths = [...new Set([...storages, ...own])].filter((path) => !isUnderAny(path, WRITABLE_ANYWAY));
  return paths.filter((path) => !paths.some((other) => other !== path && isUnder(path, other))).sort();
}

/** The drop-in that opens the unit's sandbox for them, and for sockets of PostgreSQL in what the unit hides. */
export function dropInText(config: Writing): string | undefined {
  const paths = writtenPaths(config);
  const hosts = config.server.map(({ host }) => host ?? "").filter((host) => isUnderAny(host, HIDDEN));
  const sockets = [...new Set(hosts)].sort();
  const lines = [
    // An empty file system in their place can have the bound ones in it.
    ...([...paths, ...sockets].some((path) => isUnderAny(path, HIDDEN_HOMES)) ? ["ProtectHome=tmpfs"] : []),
    // A socket right in it is a new file whenever the server starts: only the directory can be bound.
    ...(sockets.some((path) => PRIVATE.includes(path)) ? ["PrivateTmp=no"] : []),
    ...paths.map((path) => `${isUnderAny(path, HIDDEN) ? "BindPaths" : "ReadWritePaths"}=${optional(path)}`),
    ...sockets.filter((path) => !PRIVATE.includes(path)).map((path) => `BindReadOnlyPaths=${optional(path)}`),
  ];
  if (lines.length === 0) return undefined;
  const head = "# Written by `pg321 install`, from the paths in the config: run it again when they change.";
  return [head, "[Service]", ...lines, ""].join("\n");
}

/**
 * The directories that this config has written and that no drop-in of the unit opens yet. It reads the files,
 * and does not know which of them systemd has loaded.
 */
export async function missingWritablePaths(
  config: Writing,
  directories: readonly string[] = DROP_IN_DIRECTORIES,
): Promise<string[]> {
  const opened = (await Promise.all(directories.map(dropInsIn))).flat().flatMap(openedPaths);
  return writtenPaths(config).filter(
    (path) =>
      !opened.some(
        ({ path: open, isBound }) => isUnder(path, open) && (isBound || !isUnderAny(path, HIDDEN)),
      ),
  );
}

/**
 * The directories of this config that lie on what is mounted read-only, asked inside of the sandbox: what the
 * running service cannot write until it is restarted with a drop-in that fits. What is not there, or does not answer, is not told.
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

async function dropInsIn(directory: string): Promise<string[]> {
  const missing = (error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT" || error.code === "ENOTDIR") return [];
    throw error;
  };
  const names = (await readdir(directory).catch(missing)).filter((name) => name.endsWith(".conf"));
  return Promise.all(names.map((name) => readFile(join(directory, name), "utf8")));
}

function openedPaths(text: string): { path: string; isBound: boolean }[] {
  return text.split("\n").flatMap((line) => {
    const [, name, value = ""] = /^\s*(ReadWritePaths|BindPaths)\s*=(.*)$/.exec(line) ?? [];
    if (name === undefined) return [];
    return unquoted(value).map((word) => {
      const path = word.replace(/^[-+]+/, "");
      // SOURCE:DESTINATION:OPTIONS
      return {
        path: name === "BindPaths" ? (path.split(":")[1] ?? path) : path,
        isBound: name === "BindPaths",
      };
    });
  });
}

/**
 * One word of a unit file, quoted: a backslash takes the next character as it is. The dash: a disk that is away
 * must not keep the service from the other storages.
 */
function optional(path: string): string {
  return `"-${path.replaceAll("%", "%%").replace(/["\\]/g, (character) => `\\${character}`)}"`;
}

/** The words of a value as systemd splits it, specifiers other than `%%` left alone. */
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
