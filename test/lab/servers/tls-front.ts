import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import { createServer } from "node:tls";
import type { Issued } from "../machine/certificates.ts";

/** A TLS server on the loopback address that forwards every byte to a server without TLS. */
export interface TlsFront extends AsyncDisposable {
  port: number;
  /** The number of completed handshakes. */
  count(): number;
}

export async function startTlsFront(targetPort: number, { key, certificate }: Issued): Promise<TlsFront> {
  let count = 0;
  const sockets = new Set<Socket>();
  const server = createServer(
    { key: await readFile(key, "utf8"), cert: await readFile(certificate, "utf8") },
    (client) => {
      count++;
      const target = connect(targetPort, "127.0.0.1");
      sockets.add(client).add(target);
      client.pipe(target).pipe(client);
      client.on("error", () => target.destroy());
      target.on("error", () => client.destroy());
    },
  );
  server.on("tlsClientError", () => {});
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  return {
    port: address.port,
    count: () => count,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
