import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { once } from "node:events";
import { chownSync, existsSync, statSync, writeFileSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { HTTP_REQUESTS_MAX } from "../../src/base/limits.ts";
import type { Log } from "../../src/base/log.ts";
import { type EndpointLab, endpointLab, httpTable } from "../lab/endpoint.ts";

let lab: EndpointLab;

beforeAll(async () => {
  lab = await endpointLab();
});
afterAll(() => lab[Symbol.asyncDispose]());

const health = async (address: string) =>
  address.startsWith("unix:")
    ? (await fetch("http://localhost/health", { unix: address.slice("unix:".length) })).status
    : (await fetch(`${address}/health`)).status;
const portOf = (address: string) => Number(new URL(address).port);

/** The answer of a server to some bytes, until it closes the connection. */
function said(address: string, bytes: string): Promise<string> {
  return new Promise((resolve) => {
    const parts: Buffer[] = [];
    const socket: Socket = connect(portOf(address), "127.0.0.1", () => void socket.write(bytes));
    socket.on("data", (part: Buffer) => void parts.push(part));
    socket.on("error", () => {});
    socket.on("close", () => resolve(Buffer.concat(parts).toString()));
  });
}

/** A request that has arrived and waits for its answer until it is released. */
async function underWay(address: string): Promise<{ answer: Promise<Response>; release: () => void }> {
  const { promise, resolve } = Promise.withResolvers<string[]>();
  const asked = Promise.withResolvers<void>();
  lab.part.problems = () => {
    asked.resolve();
    return promise;
  };
  const answer = fetch(`${address}/health`);
  await asked.promise;
  lab.part.problems = async () => [];
  return { answer, release: () => resolve([]) };
}

describe("listens", () => {
  test("at an IPv4 or IPv6 address, with port 0 at any free port", async () => {
    for (const listen of ["127.0.0.1:0", "[::1]:0", "0.0.0.0:0", "localhost:0"]) {
      const { address } = await lab.serve(`listen = "${listen}"`);
      expect(address).toStartWith(`http://${listen.slice(0, -1)}`);
      expect(portOf(address)).toBeGreaterThan(0);
      expect(await health(address)).toBe(200);
    }
  });

  test("at a socket file, for its owner and its group, and removes it at the end", async () => {
    const path = join(lab.directory, "own.sock");
    const server = await lab.serve(`listen = "unix:${path}"`);
    expect(server.address).toBe(`unix:${path}`);
    expect((statSync(path).mode & 0o777).toString(8)).toBe("660");
    expect(await health(server.address)).toBe(200);
    await server.stop();
    expect(existsSync(path)).toBe(false);
  });

  test("at the socket file that a killed daemon left behind", async () => {
    const path = await deadSocket("dead.sock");
    const { address } = await lab.serve(`listen = "unix:${path}"`);
    expect(await health(address)).toBe(200);
  });

  test("nowhere if it is off", async () => {
    const server = await lab.serve('listen = "off"');
    expect(server.address).toBe("off");
    await server.stop();
  });
});

/** The socket file that a killed program leaves behind. */
async function deadSocket(name: string): Promise<string> {
  const path = join(lab.directory, name);
  const serve = `Bun.serve({ unix: ${JSON.stringify(path)}, fetch: () => new Response() }); console.log("up")`;
  const killed = Bun.spawn([process.execPath, "-e", serve], { stdout: "pipe" });
  await killed.stdout.getReader().read();
  killed.kill("SIGKILL");
  await killed.exited;
  expect(existsSync(path)).toBe(true);
  return path;
}

describe("reports the problem", () => {
  const refusal = (http: string) =>
    lab.serve(http).then(
      () => "served",
      (error) => error,
    );

  test.skipIf(process.geteuid?.() !== 0)(
    "with the socket file of another user's program, which stays (root only)",
    async () => {
      const path = await deadSocket("theirs.sock");
      chownSync(path, 65534, 65534);
      expect(await refusal(`listen = "unix:${path}"`)).toMatchObject({
        code: "usage",
        message: `http.listen: ${path} exists and is a socket of user id 65534`,
      });
      expect(existsSync(path)).toBe(true);
    },
  );

  test("with a port that is in use", async () => {
    const { address } = await lab.serve();
    const listen = address.slice("http://".length);
    expect(await refusal(`listen = "${listen}"`)).toMatchObject({
      code: "locked",
      message: `http.listen: ${listen}: the address is in use`,
      hint: "another daemon or another program listens there; stop it, or set http.listen to another address",
    });
    expect(await health(address)).toBe(200);
  });

  test("with a socket file at which a program listens", async () => {
    const { address } = await lab.serve(`listen = "unix:${lab.directory}/living.sock"`);
    expect(await refusal(`listen = "${address}"`)).toMatchObject({
      code: "locked",
      message: `http.listen: ${address}: the address is in use`,
    });
    expect(await health(address)).toBe(200);
  });

  test("with another kind of file at the path of the socket, which is kept", async () => {
    const path = join(lab.directory, "file");
    writeFileSync(path, "precious");
    expect(await refusal(`listen = "unix:${path}"`)).toMatchObject({
      code: "usage",
      message: `http.listen: ${path} exists and is not a socket`,
    });
    expect(await Bun.file(path).text()).toBe("precious");
  });

  test("with an address of another host, and a directory that does not exist", async () => {
    expect(await refusal('listen = "192.0.2.1:0"')).toMatchObject({
      code: "locked",
      message: "http.listen: 192.0.2.1:0: EADDRNOTAVAIL",
    });
    expect(await refusal('listen = "no-such-name.invalid:0"')).toMatchObject({
      code: "locked",
      message: "http.listen: no-such-name.invalid:0: the host name has no address",
    });
    expect(await refusal('listen = "unix:/no/such/directory/x.sock"')).toMatchObject({
      code: "usage",
      message: "http.listen: unix:/no/such/directory/x.sock: ENOENT",
      hint: "its directory does not exist; under systemd, RuntimeDirectory=pg321 creates /run/pg321",
    });
  });

  test("with an endpoint that anybody can read", async () => {
    const warnings: string[] = [];
    const note = () => {};
    const log: Log = { debug: note, info: note, error: note, warning: (text) => void warnings.push(text) };
    await lab.serve('listen = "127.0.0.1:0"', { log });
    await lab.serve('listen = "0.0.0.0:0"\ntoken = "0123456789abcdef"', { log });
    expect(warnings).toEqual([]);
    await lab.serve('listen = "0.0.0.0:0"', { log });
    expect(warnings).toEqual(["anybody who can reach the HTTP endpoint can read it: set http.token"]);
  });
});

describe("another config", () => {
  test("changes token and host names at once, and keeps the address", async () => {
    const server = await lab.serve();
    const listen = `listen = "127.0.0.1:0"`;
    const { address } = server;
    await server.reconfigure(await httpTable(`${listen}\ntoken = "0123456789abcdef"`));
    expect(server.address).toBe(address);
    expect((await fetch(`${address}/status`)).status).toBe(401);
    await server.reconfigure(await httpTable(listen));
    expect((await fetch(`${address}/status`)).status).toBe(200);
  });

  test("moves the endpoint", async () => {
    const server = await lab.serve();
    const before = server.address;
    const path = join(lab.directory, "moved.sock");
    await server.reconfigure(await httpTable(`listen = "unix:${path}"`));
    expect(server.address).toBe(`unix:${path}`);
    expect(await health(server.address)).toBe(200);
    await expect(health(before)).rejects.toThrow();
    await server.reconfigure(await httpTable('listen = "off"'));
    expect(server.address).toBe("off");
    expect(existsSync(path)).toBe(false);
    await server.reconfigure(await httpTable('listen = "127.0.0.1:0"'));
    expect(await health(server.address)).toBe(200);
  });

  test("requires the new token at the new address at once, even while requests at the old one end", async () => {
    const server = await lab.serve();
    const { answer, release } = await underWay(server.address);
    const path = join(lab.directory, "other.sock");
    const moved = server.reconfigure(await httpTable(`listen = "unix:${path}"\ntoken = "0123456789abcdef"`));
    let other: Response | undefined;
    while (!other) other = await fetch("http://localhost/status", { unix: path }).catch(() => undefined);
    expect(other.status).toBe(401);
    release();
    expect((await answer).status).toBe(200);
    await moved;
  });

  test("moves it to another address with the same port, which must become free first", async () => {
    const server = await lab.serve();
    const port = portOf(server.address);
    await server.reconfigure(await httpTable(`listen = "0.0.0.0:${port}"`));
    expect(server.address).toBe(`http://0.0.0.0:${port}`);
    expect(await health(server.address)).toBe(200);
  });

  test("leaves it where it is if the other address cannot be bound", async () => {
    const [server, other] = [await lab.serve(), await lab.serve()];
    const { address } = server;
    const taken = other.address.slice("http://".length);
    const moved = server.reconfigure(await httpTable(`listen = "${taken}"\ntoken = "0123456789abcdef"`));
    await expect(moved).rejects.toMatchObject({ code: "locked" });
    const samePort = server.reconfigure(await httpTable(`listen = "192.0.2.1:${portOf(address)}"`));
    await expect(samePort).rejects.toMatchObject({ code: "locked" });
    expect(server.address).toBe(address);
    expect((await fetch(`${address}/status`)).status).toBe(200);
  });
});

test("stop lets a request in progress end, and accepts no other", async () => {
  const server = await lab.serve();
  const { answer, release } = await underWay(server.address);
  const stopped = server.stop();
  release();
  expect((await answer).status).toBe(200);
  await stopped;
  await expect(health(server.address)).rejects.toThrow();
});

describe("limits", () => {
  test("for the request line, headers and body", async () => {
    const { address } = await lab.serve();
    const end = "Host: localhost\r\nConnection: close\r\n";
    const first = async (bytes: string) => (await said(address, bytes)).split("\r\n")[0];
    expect(await first(`GET /health HTTP/1.1\r\n${end}\r\n`)).toBe("HTTP/1.1 200 OK");
    expect(await first(`GET /${"a".repeat(20_000)} HTTP/1.1\r\n${end}\r\n`)).toContain(" 431 ");
    expect(await first(`GET / HTTP/1.1\r\nX: ${"a".repeat(20_000)}\r\n${end}\r\n`)).toContain(" 431 ");
    expect(await first(`GET / HTTP/1.1\r\n${"X: a\r\n".repeat(3000)}${end}\r\n`)).toContain(" 431 ");
    expect(await first(`GET /status HTTP/1.1\r\nContent-Length: 5\r\n${end}\r\nhello`)).toContain(" 413 ");
    expect(
      await first(`GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n${end}\r\n5\r\nhello\r\n0\r\n\r\n`),
    ).toContain(" 413 ");
    expect(await first(`POST / HTTP/1.1\r\nContent-Length: 99999999\r\n${end}\r\n`)).toContain(" 413 ");
  });

  test("an invalid or outdated request gets an answer and never causes a crash", async () => {
    const { address } = await lab.serve();
    expect(await said(address, "GET /health HTTP/1.0\r\n\r\n")).toContain('{"status":"ok"}');
    const odd = [
      "hello\r\n\r\n",
      "GET\r\n\r\n",
      "GET http://evil/status HTTP/1.1\r\nHost: evil\r\nConnection: close\r\n\r\n",
      "GET * HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
      "GET /%zz?%%%=%ff HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
      "GET /\u0000 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
      "TRACE / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
      "CONNECT localhost:1 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
      "GET / HTTP/1.1\r\nHost: a b/c?\r\nConnection: close\r\n\r\n",
      "GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil\r\nConnection: close\r\n\r\n",
    ];
    for (const bytes of odd) {
      const answer = await said(address, bytes);
      expect({ bytes, answer }).not.toEqual({ bytes, answer: expect.stringMatching(/ 200 | 500 /) });
    }
    expect(await health(address)).toBe(200);
  });

  test("for requests at the same time: further ones are refused, except /health", async () => {
    const server = await lab.serve();
    const { promise, resolve } = Promise.withResolvers<string[]>();
    lab.part.problems = () => promise;
    const waiting = Array.from({ length: 64 }, () => fetch(`${server.address}/ready`));
    let refused: Response;
    do refused = await fetch(`${server.address}/status`);
    while (refused.status === 200);
    expect({ status: refused.status, after: refused.headers.get("retry-after") }).toEqual({
      status: 503,
      after: "1",
    });
    const healthy = health(server.address);
    resolve([]);
    expect(await healthy).toBe(200);
    expect((await Promise.all(waiting)).map(({ status }) => status)).toEqual(Array(64).fill(200));
    lab.part.problems = async () => [];
    expect((await fetch(`${server.address}/status`)).status).toBe(200);
  });

  test("unread answers count, too: they are held in memory", async () => {
    await using full = await endpointLab();
    // More than the kernel buffers for a client.
    const names = Array.from({ length: 500 }, (_, index) => `${index}-${"x".repeat(2_000)}`);
    await full.context.catalog.overview.seeDatabases("main", names, "2026-11-23T00:00:00.000Z");
    const path = join(full.directory, "full.sock");
    await full.serve(`listen = "unix:${path}"`);
    const status = async (of: string) => (await fetch(`http://localhost${of}`, { unix: path })).status;
    const readers = Array.from({ length: HTTP_REQUESTS_MAX }, () => connect(path));
    await Promise.all(
      readers.map(async (reader) => {
        reader.write("GET /status?format=json HTTP/1.1\r\nHost: localhost\r\n\r\n");
        await once(reader, "data");
        reader.pause();
      }),
    );
    expect(await status("/ready")).toBe(503);
    expect(await status("/health")).toBe(200);
    for (const reader of readers) reader.destroy();
    while ((await status("/ready")) !== 200) await setImmediate();
  });

  test("clients that send nothing, or half of a request, do not delay others", async () => {
    const { address } = await lab.serve();
    const sockets = Array.from({ length: 200 }, (_, index) => {
      const socket = connect(portOf(address), "127.0.0.1");
      socket.on("error", () => {});
      if (index % 2 === 0) socket.write("GET /status HTTP/1.1\r\nHost: loc");
      return socket;
    });
    await Promise.all(sockets.map((socket) => new Promise((resolve) => socket.once("connect", resolve))));
    for (let count = 0; count < 20; count++) expect(await health(address)).toBe(200);
    for (const socket of sockets) socket.destroy();
  });
});

test("a port of another program is also reported as in use", async () => {
  const other = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => other.once("listening", resolve));
  const { port } = other.address() as { port: number };
  await expect(lab.serve(`listen = "127.0.0.1:${port}"`)).rejects.toMatchObject({ code: "locked" });
  await new Promise((resolve) => other.close(resolve));
});
