import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { HTTP_CONNECTIONS_MAX, HTTP_IDLE_MS_MAX } from "../base/limits.ts";

type Address = { host: string; port: number };

/** A TCP listener in front of a server that does not limit its connections itself. */
export interface LimitedListener {
  /** The address that is bound. */
  readonly taken: Address;
  /** Accepts no new connections; resolves once the open ones have ended. */
  close(): Promise<void>;
  /** Ends all open connections. */
  clear(): void;
}

/**
 * Listens at an address and forwards connections to the socket `behind`: at most `HTTP_CONNECTIONS_MAX` at once,
 * further ones are refused. A connection on which nothing is sent or received for `HTTP_IDLE_MS_MAX` is ended.
 * Rejects with the system's error if it cannot listen at the address.
 */
export async function listenLimited(at: Address, behind: string): Promise<LimitedListener> {
  const inside = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (reader) => {
    inside.add(reader);
    reader.setTimeout(HTTP_IDLE_MS_MAX, () => reader.destroy());
    reader.on("close", () => inside.delete(reader));
    join(reader, connect({ path: behind, allowHalfOpen: true }));
  });
  server.maxConnections = HTTP_CONNECTIONS_MAX;
  await listening(server, at);
  const { address: host, port } = server.address() as AddressInfo;
  return {
    taken: { host, port },
    close: () => new Promise((resolve) => server.close(() => resolve())),
    clear() {
      for (const reader of inside) reader.destroy();
    },
  };
}

/** Forwards bytes in both directions, with backpressure. */
function join(reader: Socket, server: Socket): void {
  reader.pipe(server);
  server.pipe(reader);
  // A broken connection needs no report: its "close" event follows.
  for (const one of [reader, server]) one.on("error", () => {});
  reader.on("close", () => server.destroy());
  // `end` first: bytes that the server sent before it closed must still reach the reader.
  server.on("close", () => reader.end(() => reader.destroy()));
}

function listening(server: Server, { host, port }: Address): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.once("listening", () => {
      server.off("error", reject);
      // A connection that cannot be accepted because no file descriptor is free must not end the daemon.
      server.on("error", () => {});
      resolve();
    });
    server.listen({ host, port });
  });
}
