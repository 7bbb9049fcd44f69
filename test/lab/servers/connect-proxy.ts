import { once } from "node:events";
import { createServer as createHttpServer, request as httpRequest } from "node:http";
import { connect, type Socket } from "node:net";

/** An HTTP proxy on the loopback address, as in companies: CONNECT for TLS, absolute URLs for plain HTTP. */
export interface ConnectProxy extends AsyncDisposable {
  port: number;
  /** `http://127.0.0.1:PORT`, with the login where it asks for one. */
  url: string;
  /** `127.0.0.1:PORT` */
  place: string;
  /** The requested hosts, each as `host:port`. */
  asked: string[];
  /** Answers every request like this from now on, and opens no connection. */
  refuseWith(status: string): void;
}

/** `login`: the required login, `user:password`. */
export async function startConnectProxy(login?: string): Promise<ConnectProxy> {
  const asked: string[] = [];
  const sockets = new Set<Socket>();
  let refusal: string | undefined;
  const expected = login && `Basic ${Buffer.from(login).toString("base64")}`;
  const statusFor = (given: string | undefined) =>
    refusal ??
    (expected !== undefined && given !== expected ? "407 Proxy Authentication Required" : undefined);
  const server = createHttpServer((request, response) => {
    const target = new URL(request.url ?? "");
    asked.push(target.host);
    const status = statusFor(request.headers["proxy-authorization"]);
    if (status !== undefined) {
      response.writeHead(Number(status.slice(0, 3))).end();
      return;
    }
    const onward = httpRequest(target, { method: request.method, headers: request.headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(response);
    });
    onward.on("error", () => response.destroy());
    request.pipe(onward);
  });
  server.on("connect", (request, client: Socket) => {
    const [host = "", port = ""] = (request.url ?? "").split(":");
    asked.push(`${host}:${port}`);
    const status = statusFor(request.headers["proxy-authorization"]);
    if (status !== undefined) {
      client.end(`HTTP/1.1 ${status}\r\nContent-Length: 0\r\n\r\n`);
      return;
    }
    const target = connect(Number(port), host, () => {
      client.write("HTTP/1.1 200 Connection Established\r\n\r\n");
      client.pipe(target).pipe(client);
    });
    sockets.add(target);
    client.on("error", () => target.destroy());
    target.on("error", () => client.end("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n"));
  });
  server.on("connection", (socket) => void sockets.add(socket));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  const place = `127.0.0.1:${address.port}`;
  return {
    port: address.port,
    url: `http://${login === undefined ? "" : `${login}@`}${place}`,
    place,
    asked,
    refuseWith(status) {
      refusal = status;
    },
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
