import { chmod, chown, mkdtemp, rm } from "node:fs/promises";
import type { Socket } from "node:net";
import { createServer, connect as openSocket } from "node:net";
import { basename, join } from "node:path";
import { pipeline } from "node:stream/promises";
import { messageOf, Pg321Error } from "../base/errors.ts";
import type { Account } from "../base/process/become-user.ts";
import { findAccount, isRoot } from "../base/process/become-user.ts";
import { ownProgram } from "../base/process/own-program.ts";
import type { Endpoint } from "./connection.ts";
import { hostOf } from "./connection.ts";

/*
 * PostgreSQL's peer authentication asks the kernel for the user of the process that connects. A restore that root starts
 * runs as the service's user, and Debian's `postgres` has no password. So a second process, which root starts, passes on
 * the sessions: it connects as that user, and takes connections from root and from the service's user only.
 */

/** The word that has `cli/program.ts` run the second process. */
const PEER_RELAY = "peer-relay";
/** In memory, and root's. */
const PARENT_DIR = "/run";

export interface PeerRelay extends AsyncDisposable {
  /** To use instead of the given one. */
  readonly endpoint: Endpoint;
}

/**
 * Lets this process log in as the system user `user` by peer authentication, until it is disposed of. Call it as root;
 * `client` is the user that this process becomes, undefined if it stays root. Throws code `usage`.
 */
export async function openPeerRelay(
  endpoint: Endpoint,
  user: string,
  client: Account | undefined,
): Promise<PeerRelay> {
  const host = hostOf(endpoint);
  if (!isRoot())
    throw new Pg321Error("usage", `restore: --as ${user} needs root`, { hint: "run it with sudo" });
  if (!host.startsWith("/"))
    throw new Pg321Error(
      "usage",
      `restore: --as ${user}: ${endpoint.label} is not a unix socket of this host`,
      {
        hint: "peer authentication works only there: leave out host, or use --target URL with --password-file",
      },
    );
  if (findAccount(user) === undefined)
    throw new Pg321Error("usage", `restore: --as ${user}: this host has no such user`);
  const words = [PEER_RELAY, user, `${host}/.s.PGSQL.${endpoint.port}`, String(client?.gid ?? 0)];
  const child = Bun.spawn([...ownProgram(), ...words], {
    env: {},
    // A terminal's ^C is for this process, which ends the other one when its sessions are over.
    detached: true,
    stdio: ["pipe", "pipe", "inherit"],
  });
  const close = async () => {
    await child.stdin.end();
    await child.exited;
  };
  const { value } = await child.stdout.getReader().read();
  const directory = new TextDecoder().decode(value).trim();
  if (directory === "") {
    await close();
    throw new Pg321Error(
      "database",
      `restore: --as ${user}: no connection to ${endpoint.label} could be prepared`,
    );
  }
  return {
    endpoint: { ...endpoint, host: directory, user, password: undefined, sslmode: "disable" },
    [Symbol.asyncDispose]: close,
  };
}

/**
 * The second process: prints its socket's directory, and passes on sessions until its stdin ends. It stays root inside,
 * to remove that directory at the end; the server sees `user`.
 */
export async function runPeerRelay(words: readonly string[]): Promise<number> {
  const [user = "", upstream = "", gid = ""] = words;
  const account = findAccount(user);
  if (!isRoot() || account === undefined) throw new Pg321Error("usage", `unknown command "${PEER_RELAY}"`);
  const directory = await mkdtemp(join(PARENT_DIR, "pg321-as-"));
  const sessions = new Set<Socket>();
  const server = createServer((client) => {
    sessions.add(client);
    void passOn(client, upstream).finally(() => sessions.delete(client));
  });
  try {
    const path = join(directory, basename(upstream));
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(path, resolve);
    });
    for (const [one, mode] of [
      [path, 0o660],
      [directory, 0o710],
    ] as const) {
      await chown(one, 0, Number(gid));
      await chmod(one, mode);
    }
    process.setegid?.(account.gid);
    process.seteuid?.(account.uid);
    process.stdout.write(`${directory}\n`);
    for await (const _ of Bun.stdin.stream());
  } finally {
    for (const client of sessions) client.destroy();
    server.close();
    process.seteuid?.(0);
    process.setegid?.(0);
    await rm(directory, { recursive: true, force: true });
  }
  return 0;
}

async function passOn(client: Socket, upstream: string): Promise<void> {
  const session = openSocket({ path: upstream });
  try {
    await Promise.all([pipeline(client, session), pipeline(session, client)]);
  } catch (error) {
    // Each side reports by itself that the other one is gone; only a server that does not answer is news.
    if ((error as NodeJS.ErrnoException).syscall === "connect") process.stderr.write(`${messageOf(error)}\n`);
  } finally {
    client.destroy();
    session.destroy();
  }
}
