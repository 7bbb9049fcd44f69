import { lookup } from "node:dns/promises";
import { chmod, lstat, unlink } from "node:fs/promises";
import { connect, isIP } from "node:net";
import type { Server } from "bun";
import { messageOf, Pg321Error } from "../base/errors.ts";
import { HTTP_BODY_BYTES_MAX, HTTP_IDLE_MS_MAX } from "../base/limits.ts";
import type { Listen } from "../config/config.ts";
import { listenText } from "../config/http-schema.ts";
import type { Answer } from "./app.ts";

export type OpenListen = Exclude<Listen, { type: "off" }>;

/** Who owns the socket file, and its group: a reverse proxy, say. */
const SOCKET_MODE = 0o660;

/**
 * Opens the endpoint. A socket file that nobody listens to any more is replaced. Rejects with code `locked`
 * when the address is in use or not there (yet), and `usage` when it cannot be had at all.
 */
export async function listen(at: OpenListen, answer: Answer): Promise<Server<undefined>> {
  if (at.type === "tcp") return serveAt(at, answer);
  await removeDeadSocket(at.path);
  const server = serve(at, answer);
  try {
    await chmod(at.path, SOCKET_MODE);
  } catch (error) {
    await server.stop(true);
    throw refused(at, error);
  }
  return server;
}

/** What a name is not found for, Bun tells by whatever error was the last: the name is looked up to tell it. */
async function serveAt(at: Extract<Listen, { type: "tcp" }>, answer: Answer): Promise<Server<undefined>> {
  try {
    return serve(at, answer);
  } catch (error) {
    if (isIP(at.host) !== 0 || (await lookup(at.host).catch(() => undefined))) throw error;
    throw new Pg321Error("locked", `http.listen: ${listenText(at)}: the name has no address`, {
      hint: "this host does not know the name, or not yet; an address needs nobody to know it",
      cause: error,
      retryable: true,
    });
  }
}

/** The address that was taken for what the config says: `::1` for a name, or another way to write it. */
export function boundTo(at: Listen, server: Server<undefined>): Listen {
  // Bun has it, its types do not.
  const { address } = server as { address?: { address: string } | null };
  return at.type === "tcp" ? { ...at, host: address?.address ?? at.host } : at;
}

/** As readers may call it: with the port that was taken. */
export function addressOf(at: OpenListen, { port }: Server<undefined>): string {
  if (at.type === "unix") return listenText(at);
  return `http://${listenText({ ...at, port: port ?? at.port })}`;
}

/*
 * Bun itself bounds the request's line and headers (16 KiB, else 431) and the time until they are there (some
 * ten seconds, however slowly they come). It has no bound on connections: those that idle are closed, the open
 * files of the process are the bound.
 */
function serve(at: OpenListen, answer: Answer): Server<undefined> {
  const limits = {
    maxRequestBodySize: HTTP_BODY_BYTES_MAX,
    development: false,
    fetch: (request: Request, server: Server<undefined>) => answer(request, server.pendingRequests),
  };
  try {
    if (at.type === "unix") return Bun.serve({ ...limits, unix: at.path });
    const idleTimeout = HTTP_IDLE_MS_MAX / 1000;
    // Without it Bun lets another process of the same user listen at the same port and take half of the requests.
    return Bun.serve({ ...limits, hostname: at.host, port: at.port, idleTimeout, reusePort: false });
  } catch (error) {
    throw refused(at, error);
  }
}

/** A daemon that was killed leaves its socket file, and nobody can listen there until it is gone. */
async function removeDeadSocket(path: string): Promise<void> {
  const found = await lstat(path).catch(() => undefined);
  if (!found) return;
  if (!found.isSocket()) {
    throw new Pg321Error("usage", `http.listen: ${path} is there, and is no socket`, {
      hint: "name another file under http.listen, or move that one away",
    });
  }
  if (!(await isAnswered(path))) await unlink(path).catch(() => {});
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
