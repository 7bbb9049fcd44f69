import { lookup } from "node:dns/promises";
import { chmod, lstat, unlink } from "node:fs/promises";
import { connect, isIP } from "node:net";
import type { Server } from "bun";
import { messageOf, Pg321Error } from "../base/errors.ts";
import { HTTP_BODY_BYTES_MAX } from "../base/limits.ts";
import type { Listen } from "../config/config.ts";
import { listenText } from "../config/schema/http.ts";
import type { Answer } from "./app.ts";
import { listenLimited } from "./connection-limit.ts";

export type OpenListen = Exclude<Listen, { type: "off" }>;

/** For the owner of the socket file and its group, for example a reverse proxy. */
const SOCKET_MODE = 0o660;

/** An open endpoint. */
export interface Listening {
  /** The port that is bound; undefined for a socket file. */
  readonly port: number | undefined;
  /** The address that is bound, such as `::1` if the config has a name; undefined for a socket file. */
  readonly host: string | undefined;
  /** Accepts no new connections; resolves once the requests in progress are answered. */
  stop(): Promise<void>;
  /** Ends everything at once. */
  end(): Promise<void>;
}

/**
 * Opens the endpoint. Replaces a socket file at which nothing listens any more. Rejects with code `locked` if the
 * address is in use or does not exist (yet), and with code `usage` if it can never be bound.
 */
export async function listen(at: OpenListen, answer: Answer): Promise<Listening> {
  if (at.type === "tcp") return serveAt(at, answer);
  await removeDeadSocket(at.path);
  const listening = await serve(at, answer);
  try {
    await chmod(at.path, SOCKET_MODE);
  } catch (error) {
    await listening.end();
    throw refused(at, error);
  }
  return listening;
}

/** The error for an unknown host name does not say so: if listening fails, the name is looked up to find out. */
async function serveAt(at: Extract<Listen, { type: "tcp" }>, answer: Answer): Promise<Listening> {
  try {
    return await serve(at, answer);
  } catch (error) {
    if (isIP(at.host) !== 0 || (await lookup(at.host).catch(() => undefined))) throw error;
    throw new Pg321Error("locked", `http.listen: ${listenText(at)}: the host name has no address`, {
      hint: "name resolution does not know the name, or not yet; use an IP address to be independent of it",
      cause: error,
      retryable: true,
    });
  }
}

/** The address that is bound, where the config may have a host name. */
export function boundTo(at: Listen, { host }: Listening): Listen {
  return at.type === "tcp" ? { ...at, host: host ?? at.host } : at;
}

/** The address for clients, with the port that is bound. */
export function addressOf(at: OpenListen, { port }: Listening): string {
  if (at.type === "unix") return listenText(at);
  return `http://${listenText({ ...at, port: port ?? at.port })}`;
}

/*
 * Bun limits the size of request line and headers (16 KiB, else 431) and the time for receiving them (about ten
 * seconds, however slowly they arrive). It does not limit connections, so an address that anybody can reach is
 * behind a door that does. The file's permissions decide who can open a socket file, so it needs no door.
 */
async function serve(at: OpenListen, answer: Answer): Promise<Listening> {
  try {
    if (at.type === "unix") return withoutDoor(bunAt(at.path, answer));
    // An abstract socket: every user of this host can connect to it, as to the address, and needs the same token.
    const behind = `\0pg321-${crypto.randomUUID()}`;
    const server = bunAt(behind, answer);
    const door = await listenLimited(at, behind).catch(async (error) => {
      await server.stop(true);
      throw error;
    });
    return {
      ...door.taken,
      async stop() {
        const left = door.close();
        await server.stop(false);
        await left;
      },
      async end() {
        door.clear();
        await Promise.all([door.close(), server.stop(true)]);
      },
    };
  } catch (error) {
    throw refused(at, error);
  }
}

function bunAt(unix: string, answer: Answer): Server<undefined> {
  return Bun.serve({
    unix,
    maxRequestBodySize: HTTP_BODY_BYTES_MAX,
    development: false,
    fetch: (request, server) => answer(request, server.pendingRequests),
  });
}

function withoutDoor(server: Server<undefined>): Listening {
  return { port: undefined, host: undefined, stop: () => server.stop(false), end: () => server.stop(true) };
}

/** A killed daemon leaves its socket file, which blocks the path until it is removed. Only our own file is removed. */
async function removeDeadSocket(path: string): Promise<void> {
  const found = await lstat(path).catch(() => undefined);
  if (!found) return;
  if (!found.isSocket()) {
    throw new Pg321Error("usage", `http.listen: ${path} exists and is not a socket`, {
      hint: "set http.listen to another path, or move that file away",
    });
  }
  if (await isAnswered(path)) return;
  if (found.uid !== process.geteuid?.()) {
    throw new Pg321Error("usage", `http.listen: ${path} exists and is a socket of user id ${found.uid}`, {
      hint: "set http.listen to another path, or remove that socket if nothing uses it any more",
    });
  }
  await unlink(path).catch(() => {});
}

function isAnswered(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    const end = (answered: boolean) => {
      socket.destroy();
      resolve(answered);
    };
    socket.on("connect", () => end(true));
    // Only ECONNREFUSED shows that nothing listens; after EACCES, for example, something may well listen.
    socket.on("error", (error: NodeJS.ErrnoException) => end(error.code !== "ECONNREFUSED"));
  });
}

const HINTS: Readonly<Record<string, string>> = {
  EADDRINUSE:
    "another daemon or another program listens there; stop it, or set http.listen to another address",
  EADDRNOTAVAIL: "this host does not have that address, or not yet; 0.0.0.0 listens on all of its addresses",
  EACCES:
    "the service may not use ports below 1024 or directories of other users; set http.listen to another address",
  ENOENT: "its directory does not exist; under systemd, RuntimeDirectory=pg321 creates /run/pg321",
};

function refused(at: OpenListen, cause: unknown): Pg321Error {
  const { code = "" } = cause as { code?: string };
  const why = code === "EADDRINUSE" ? "the address is in use" : code || messageOf(cause);
  const mayPass = code === "EADDRINUSE" || code === "EADDRNOTAVAIL";
  return new Pg321Error(mayPass ? "locked" : "usage", `http.listen: ${listenText(at)}: ${why}`, {
    hint: HINTS[code] ?? "set http.listen to another address",
    cause,
    retryable: mayPass,
  });
}
