import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { HTTP_CONNECTIONS_MAX, HTTP_IDLE_MS_MAX } from "../base/limits.ts";

type Address = { host: string; port: number };

/** The way in to a server that counts no connections itself. */
export interface Door {
  /** The address that was taken. */
  readonly taken: Address;
  /** Lets nobody in any more; resolves once those who are in have left. */
  close(): Promise<void>;
  /** Ends the connections that are left. */
  clear(): void;
}

/**
 * Listens at an address and passes what comes on to the socket `behind` it, for `HTTP_CONNECTIONS_MAX` readers at
 * once; more are turned away. One who neither asks nor takes for `HTTP_IDLE_MS_MAX` has to leave. Rejects with the
 * system's error when nothing can listen there.
 */
export async function openDoor(at: Address, behind: string): Promise<Door> {
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

/** Each gets what the other sends, no faster than it takes it. */
function join(reader: Socket, server: Socket): void {
  reader.pipe(server);
  server.pipe(reader);
  // A connection that breaks off is nothing to tell of: its "close" comes as well.
  for (const one of [reader, server]) one.on("error", () => {});
  reader.on("close", () => server.destroy());
  // What it has said before is still on its way.
  server.on("close", () => reader.end(() => reader.destroy()));
}

function listening(server: Server, { host, port }: Address): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.once("listening", () => {
      server.off("error", reject);
      // What cannot be taken in, for want of open files, is no reason to end.
      server.on("error", () => {});
      resolve();
    });
    server.listen({ host, port });
  });
}
