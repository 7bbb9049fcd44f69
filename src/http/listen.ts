import { lookup } from "node:dns/promises";
import { chmod, lstat, unlink } from "node:fs/promises";
import { connect, isIP } from "node:net";
import type { Server } from "bun";
import { messageOf, Pg321Error } from "../base/errors.ts";
import { HTTP_BODY_BYTES_MAX } from "../base/limits.ts";
import type { Listen } from "../config/config.ts";
import { listenText } from "../config/schema/http.ts";
import type { Answer } from "./app.ts";
import { openDoor } from "./door.ts";

export type OpenListen = Exclude<Listen, { type: "off" }>;

/** Who owns the socket file, and its group: a reverse proxy, say. */
const SOCKET_MODE = 0o660;

/** An endpoint that is open. */
export interface Listening {
  /** The port that was taken; undefined for a socket file. */
  readonly port: number | undefined;
  /** The address that was taken: `::1` for a name, or another way to write it; undefined for a socket file. */
  readonly host: string | undefined;
  /** Resolves once the requests under way have their answers; lets nobody in any more. */
  stop(): Promise<void>;
  /** Ends everything at once. */
  end(): Promise<void>;
}

/**
 * Opens the endpoint. A socket file that nobody listens to any more is replaced. Rejects with code `locked`
 * when the address is in use or not there (yet), and `usage` when it cannot be had at all.
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

/** A name that is not known is told by whatever error: it is looked up to tell it. */
async function serveAt(at: Extract<Listen, { type: "tcp" }>, answer: Answer): Promise<Listening> {
  try {
    return await serve(at, answer);
  } catch (error) {
    if (isIP(at.host) !== 0 || (await lookup(at.host).catch(() => undefined))) throw error;
    throw new Pg321Error("locked", `http.listen: ${listenText(at)}: the name has no address`, {
      hint: "this host does not know the name, or not yet; an address needs nobody to know it",
      cause: error,
      retryable: true,
    });
  }
}

/** The address that was taken for what the config says. */
export function boundTo(at: Listen, { host }: Listening): Listen {
  return at.type === "tcp" ? { ...at, host: host ?? at.host } : at;
}

/** As readers may call it: with the port that was taken. */
export function addressOf(at: OpenListen, { port }: Listening): string {
  if (at.type === "unix") return listenText(at);
  return `http://${listenText({ ...at, port: port ?? at.port })}`;
}

/*
 * Bun bounds the request's line and headers (16 KiB, else 431) and the time until they are there (some ten
 * seconds, however slowly they come). It does not count connections, so what anybody can reach is behind a door
 * that does. Who may open a socket file is let in by the system, and needs none.
 */
async function serve(at: OpenListen, answer: Answer): Promise<Listening> {
  try {
    if (at.type === "unix") return withoutDoor(bunAt(at.path, answer));
    // Without a file, and open to whoever is on this host; so is the address, and both ask for the same token.
    const behind = `\0pg321-${crypto.randomUUID()}`;
    const server = bunAt(behind, answer);
    const door = await openDoor(at, behind).catch(async (error) => {
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

/** A daemon that was killed leaves its socket file, and nobody can listen there until it is gone. Only ours goes. */
async function removeDeadSocket(path: string): Promise<void> {
  const found = await lstat(path).catch(() => undefined);
  if (!found) return;
  if (!found.isSocket()) {
    throw new Pg321Error("usage", `http.listen: ${path} is there, and is no socket`, {
      hint: "name another file under http.listen, or move that one away",
    });
  }
  if (await isAnswered(path)) return;
  if (found.uid !== process.geteuid?.()) {
    throw new Pg321Error("usage", `http.listen: ${path} is there, and is a socket of user ${found.uid}`, {
      hint: "name another file under http.listen, or remove that one if nothing needs it any more",
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
    // Only this says that nobody is there; whom we may not connect to may well be.
    socket.on("error", (error: NodeJS.ErrnoException) => end(error.code !== "ECONNREFUSED"));
  });
}

const HINTS: Readonly<Record<string, string>> = {
  EADDRINUSE:
    "another daemon, or another program, listens there; end it, or choose another under http.listen",
  EADDRNOTAVAIL: "this host has no such address, or not yet; 0.0.0.0 takes all that it has",
  EACCES:
    "ports below 1024 and directories of others are not for the service; choose another under http.listen",
  ENOENT: "its directory does not exist; under systemd RuntimeDirectory=pg321 makes /run/pg321",
};

function refused(at: OpenListen, cause: unknown): Pg321Error {
  const { code = "" } = cause as { code?: string };
  const why = code === "EADDRINUSE" ? "the address is in use" : code || messageOf(cause);
  const isPassing = code === "EADDRINUSE" || code === "EADDRNOTAVAIL";
  return new Pg321Error(isPassing ? "locked" : "usage", `http.listen: ${listenText(at)}: ${why}`, {
    hint: HINTS[code] ?? "choose another address under http.listen",
    cause,
    retryable: isPassing,
  });
}
