import { connect, Socket } from "node:net";
import { deadline, unlessAborted } from "../abort.ts";
import { systemClock } from "../clock.ts";

/*
 * Sockets for the package `postgres`, one for each of its sessions. By itself it reconnects at once and for ever if a
 * server accepts a connection and closes it before it answers; and after a lost connection it would go on in another
 * session, without the settings and outside the transaction of the first.
 */

/** A function for the package's option `socket` that connects once; later sockets end with `CONNECTION_CLOSED`. */
export function onlyOnce(open: () => Promise<Socket>): () => Promise<Socket> {
  let isFirst = true;
  return async () => {
    if (isFirst) {
      isFirst = false;
      return open();
    }
    const socket = new Socket();
    // Not thrown here, because the package would then keep every later query waiting.
    setImmediate(() => socket.destroy(coded("CONNECTION_CLOSED", "the server closed the connection")));
    return socket;
  };
}

/**
 * Resolves once it is connected to a host or, if `host` is a directory, to PostgreSQL's socket in it. Rejects with the
 * system's error, or with code `CONNECT_TIMEOUT` after `limitMs`.
 */
export async function openSocket(
  { host, port }: { host: string; port: number },
  limitMs: number,
): Promise<Socket> {
  const at = host.startsWith("/") ? { path: `${host}/.s.PGSQL.${port}` } : { host, port };
  const late = () => coded("CONNECT_TIMEOUT", "no connection within connect_timeout");
  using time = deadline({ clock: systemClock, durationMs: limitMs }, late);
  const socket = connect(at);
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  socket.once("error", reject);
  socket.once("connect", resolve);
  try {
    await unlessAborted(promise, time.signal);
  } catch (error) {
    socket.destroy();
    throw error;
  }
  // The package takes the name to check in the server's certificate from here.
  return Object.assign(socket, { host, port });
}

/** An error with a code, as the system's errors have one. */
export function coded(code: string, message: string): Error {
  return Object.assign(new Error(message), { code });
}
