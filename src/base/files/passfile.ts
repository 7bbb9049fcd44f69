import { readFile, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { homeDirectory } from "../process/become-user.ts";
import { PLACE_MS_MAX, placeAt } from "./place.ts";

export interface PasswordPlace {
  /** Names that the file may use for the server. */
  hosts: readonly string[];
  port: number;
  database: string;
  user: string;
}

/** Where the distributions' libpq looks for the socket of a server; it finds their password under "localhost". */
export const SOCKET_DIRS: readonly string[] = ["/var/run/postgresql", "/run/postgresql", "/tmp"];

const NOT_ONLY_THE_OWNER = 0o077;

/** The password of `~/.pgpass` of the user that this process has become. `host`: a name, or the directory of a socket. */
export function passwordAtHome({
  host,
  ...place
}: Omit<PasswordPlace, "hosts"> & { host: string }): Promise<string | undefined> {
  const hosts = SOCKET_DIRS.includes(host) ? [host, "localhost"] : [host];
  return passwordOfFile(join(homeDirectory(), ".pgpass"), { hosts, ...place });
}

/**
 * The password of the first matching line, by libpq's rules: `host:port:database:user:password`, `*` for any value,
 * `\\` before a colon or a backslash, `#` before a comment. Undefined if there is none, or if others may read the
 * file: libpq ignores it then as well. Throws code `storage` if its disk does not answer.
 */
export async function passwordOfFile(path: string, place: PasswordPlace): Promise<string | undefined> {
  const call = { what: `password file ${path}`, limitMs: PLACE_MS_MAX };
  for (const line of await placeAt(dirname(path)).run(call, () => linesOf(path))) {
    if (line.startsWith("#")) continue;
    const [host, port, database, user, ...rest] = fieldsOf(line);
    if (rest.length === 0) continue;
    const isSuited =
      suits(host, place.hosts) &&
      suits(port, [String(place.port)]) &&
      suits(database, [place.database]) &&
      suits(user, [place.user]);
    // A colon also ends the password.
    if (isSuited) return unescaped(rest[0] ?? "");
  }
  return undefined;
}

async function linesOf(path: string): Promise<string[]> {
  const found = await stat(path).catch(() => undefined);
  if (!found?.isFile() || (found.mode & NOT_ONLY_THE_OWNER) !== 0) return [];
  const text = await readFile(path, "utf8").catch(() => "");
  return text.split(/\r?\n/);
}

function fieldsOf(line: string): string[] {
  const fields = [""];
  for (const [part] of line.matchAll(/\\?./gsu)) {
    if (part === ":") fields.push("");
    else fields.push(fields.pop() + part);
  }
  return fields;
}

function suits(field: string | undefined, values: readonly string[]): boolean {
  return field === "*" || (field !== undefined && values.includes(unescaped(field)));
}

function unescaped(field: string): string {
  return field.replace(/\\(.)/gsu, "$1");
}
