import { lookup } from "node:dns/promises";
import { chmod, lstat, unlink } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { type AddressInfo, connect, isIP } from "node:net";
import type { Clock } from "../base/clock.ts";
import { messageOf, Pg321Error } from "../base/errors.ts";
import { HTTP_HEADER_BYTES_MAX, HTTP_IDLE_MS_MAX } from "../base/limits.ts";
import type { Listen } from "../config/config.ts";
import { listenText } from "../config/schema/http.ts";
import type { Answer } from "./app.ts";
import { Connections } from "./connections.ts";
import { AnswerGarbage } from "./garbage.ts";
import { send } from "./send.ts";

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
export async function listen(at: OpenListen, answer: Answer, clock: Clock): Promise<Listening> {
  if (at.type === "tcp") return serveAt(at, answer, clock);
  await removeDeadSocket(at.path);
  const listening = await serve(at, answer, clock);
  try {
    await chmod(at.path, SOCKET_MODE);
  } catch (error) {
    await listening.end();
    throw refused(at, error);
  }
  return listening;
}

/** The error for an unknown host name does not say so: if listening fails, the name is looked up to find out. */
async function serveAt(
  at: Extract<Listen, { type: "tcp" }>,
  answer: Answer,
  clock: Clock,
): Promise<Listening> {
  try {
    return await serve(at, answer, clock);
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

async function serve(at: OpenListen, answer: Answer, clock: Clock): Promise<Listening> {
  const connections = new Connections(clock);
  const garbage = new AnswerGarbage(clock);
  // `connections` limits the times, so the server's own limits are off. A request without a Host header is no browser's.
  const server = createServer({
    maxHeaderSize: HTTP_HEADER_BYTES_MAX,
    headersTimeout: 0,
    requestTimeout: 0,
    keepAliveTimeout: HTTP_IDLE_MS_MAX,
    requireHostHeader: false,
  });
  server.on("connection", (socket) => connections.enter(socket));
  server.on("request", (request, response) => handle(request, response, { answer, connections, garbage }));
  try {
    await listening(server, at);
  } catch (error) {
    throw refused(at, error);
  }
  const bound = at.type === "tcp" ? (server.address() as AddressInfo) : undefined;
  const closed = () =>
    new Promise<void>((resolve) => {
      server.close(() => resolve());
    });
  return {
    port: bound?.port,
    host: bound?.address,
    async stop() {
      const left = closed();
      connections.close();
      await left;
    },
    async end() {
      connections.clear();
      await closed();
    },
  };
}

function listening(server: Server, at: OpenListen): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.once("listening", () => {
      server.off("error", reject);
      // A connection that cannot be accepted because no file descriptor is free must not end the daemon.
      server.on("error", () => {});
      resolve();
    });
    server.listen(at.type === "tcp" ? { host: at.host, port: at.port } : { path: at.path });
  });
}

/** Never rejects. */
async function handle(
  request: IncomingMessage,
  response: ServerResponse,
  { answer, connections, garbage }: { answer: Answer; connections: Connections; garbage: AnswerGarbage },
): Promise<void> {
  const visit = connections.begin(request.socket);
  if (!visit) return;
  let bytes = 0;
  response.on("close", () => {
    visit.read();
    garbage.left(bytes);
  });
  try {
    const { method = "", url = "" } = request;
    const made = await answer({ method, url, headers: headersOf(request) }, visit.places);
    const body = await made.blob();
    bytes = body.size;
    visit.made();
    if (response.destroyed) return;
    const length = method === "HEAD" ? {} : { "content-length": body.size };
    response.writeHead(made.status, { ...Object.fromEntries(made.headers), ...length });
    if (method === "HEAD") response.end();
    else await send(body, response);
  } catch {
    visit.made();
    request.socket.destroy();
  }
}

/** All of them: a header that is sent twice, such as Host, is joined by commas and then has no valid value. */
function headersOf({ rawHeaders }: IncomingMessage): Headers {
  const headers = new Headers();
  for (let index = 0; index + 1 < rawHeaders.length; index += 2)
    headers.append(rawHeaders[index] as string, rawHeaders[index + 1] as string);
  return headers;
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
