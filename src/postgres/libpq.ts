import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Pg321Error } from "../base/errors.ts";
import { requireAnswer } from "../base/files/place.ts";
import { makePrivateDirectory, type PrivateDirectory } from "../base/files/private-files.ts";
import { homeDirectory } from "../base/process/become-user.ts";
import type { Endpoint } from "./connection.ts";
import { APPLICATION, hostOf } from "./connection.ts";

const PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/**
 * The environment of libpq's programs, without anything from this process's own. Messages in English, times in UTC.
 */
export const CLEAN_ENVIRONMENT: Readonly<Record<string, string>> = {
  PATH,
  LANG: "C.UTF-8",
  LC_ALL: "C.UTF-8",
  TZ: "UTC",
};

/** Error codes of a full or read-only file system. */
export const TAKES_NOTHING: readonly (string | undefined)[] = ["ENOSPC", "EDQUOT", "EROFS"];
/** In memory on every Linux. */
export const MEMORY_DIR = "/dev/shm";

export interface LibpqEnvironment extends AsyncDisposable {
  readonly env: Record<string, string>;
}

/**
 * The environment for a program of libpq to connect to the endpoint. The password is in a private file, removed on
 * disposal: never in argv or in the environment, which other processes may read. Without a password libpq looks
 * into `~/.pgpass`.
 */
export async function libpqEnvironment(endpoint: Endpoint, tempDir: string): Promise<LibpqEnvironment> {
  const password = endpoint.password?.reveal();
  const passwordDir = password ? await writePassword(password, endpoint.label, tempDir) : undefined;
  const optional = {
    PGSSLROOTCERT: endpoint.sslrootcert,
    PGSSLCERT: endpoint.sslcert,
    PGSSLKEY: endpoint.sslkey,
    PGPASSFILE: passwordDir && join(passwordDir.path, "pgpass"),
  };
  return {
    env: {
      ...CLEAN_ENVIRONMENT,
      HOME: homeDirectory(),
      PGHOST: hostOf(endpoint),
      PGPORT: String(endpoint.port),
      PGUSER: endpoint.user,
      // Unlike --dbname not parsed as a connection string, so any name works.
      PGDATABASE: endpoint.database,
      PGSSLMODE: endpoint.sslmode,
      PGCONNECT_TIMEOUT: String(Math.max(2, Math.ceil(endpoint.connect_timeout_ms / 1000))),
      PGAPPNAME: APPLICATION,
      ...Object.fromEntries(Object.entries(optional).filter(([, value]) => value !== undefined)),
    },
    async [Symbol.asyncDispose]() {
      await passwordDir?.[Symbol.asyncDispose]();
    },
  };
}

async function writePassword(password: string, label: string, tempDir: string): Promise<PrivateDirectory> {
  if (/[\n\r\0]/.test(password)) {
    throw new Pg321Error("usage", `${label}: the password contains a line break or a NUL`, {
      hint: "libpq cannot read such a password from a file: choose another one",
    });
  }
  await requireAnswer(`temp_dir ${tempDir}`, tempDir);
  const escaped = password.replace(/[\\:]/g, (character) => `\\${character}`);
  const line = `*:*:*:*:${escaped}\n`;
  return await writePasswordIn(tempDir, line).catch((error) => {
    // A restore must not fail for lack of room for one line.
    if (!TAKES_NOTHING.includes(error.code)) throw error;
    return writePasswordIn(MEMORY_DIR, line);
  });
}

async function writePasswordIn(parent: string, line: string): Promise<PrivateDirectory> {
  const directory = await makePrivateDirectory(parent, "libpq");
  try {
    await writeFile(join(directory.path, "pgpass"), line, { mode: 0o600 });
    return directory;
  } catch (error) {
    await directory[Symbol.asyncDispose]();
    throw error;
  }
}

/** A database's name for `--dbname`, which would parse a name with `=` or `://` as a connection string. */
export function dbnameArgument(name: string): string {
  return `--dbname=${connectionString(name)}`;
}

/** A connection string that names only a database. */
export function connectionString(database: string): string {
  return `dbname='${database.replace(/[\\']/g, (character) => `\\${character}`)}'`;
}

/** Lets pg_dump, pg_dumpall and pg_restore work as the role that logs in, although a setting of the role or the database names another. */
export function ownRole({ user }: Pick<Endpoint, "user">): string {
  return `--role=${user}`;
}
