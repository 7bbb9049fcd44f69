import { createServer } from "node:net";

/**
 * A free port below the system's range for outgoing connections (ip_local_port_range): a port in that range could be
 * taken by a client while the server of a test is down, even by a client that connects to that server.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = 12_000 + Math.floor(Math.random() * 20_000);
    const server = createServer();
    const isFree = await new Promise<boolean>((resolve) => {
      server.once("error", () => resolve(false));
      server.listen(port, "127.0.0.1", () => resolve(true));
    });
    if (!isFree) continue;
    await new Promise((resolve) => server.close(resolve));
    return port;
  }
}
