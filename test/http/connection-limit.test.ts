import { afterEach, expect, test } from "bun:test";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { setImmediate } from "node:timers/promises";
import { HTTP_CONNECTIONS_MAX } from "../../src/base/limits.ts";
import { listenLimited } from "../../src/http/connection-limit.ts";

const ANSWER = crypto.getRandomValues(new Uint8Array(64 * 1024));
/** More than the kernel buffers for a client. */
const REPEATS = 200;

let stack = new AsyncDisposableStack();
afterEach(async () => {
  await stack.disposeAsync();
  stack = new AsyncDisposableStack();
});

async function open() {
  const behind = `\0pg321-test-${crypto.randomUUID()}`;
  const server = Bun.serve({
    unix: behind,
    fetch: ({ url }) =>
      new Response(url.endsWith("/large") ? new Blob(Array(REPEATS).fill(ANSWER)) : "small"),
  });
  stack.defer(() => server.stop(true));
  const door = await listenLimited({ host: "127.0.0.1", port: 0 }, behind);
  stack.defer(() => {
    door.clear();
    return door.close();
  });
  return { server, door, address: `http://127.0.0.1:${door.taken.port}` };
}

function enter(port: number): Socket {
  const socket = connect(port, "127.0.0.1").on("error", () => {});
  stack.defer(() => void socket.destroy());
  return socket;
}

const asked = (address: string) =>
  fetch(`${address}/small`, { headers: { connection: "close" } }).then(
    (answer) => answer.text(),
    () => "turned away",
  );

test("the number of connections is limited, and the next one is accepted when another has ended", async () => {
  const { door, address } = await open();
  const readers = Array.from({ length: HTTP_CONNECTIONS_MAX }, () => enter(door.taken.port));
  await Promise.all(readers.map((reader) => once(reader, "connect")));
  // The last ones may still be waiting: the kernel has accepted them, the door has not yet.
  while ((await asked(address)) !== "turned away") await setImmediate();
  readers[0]?.destroy();
  while ((await asked(address)) !== "small") await setImmediate();
});

test("a slow client receives everything that was sent, to the last byte", async () => {
  const { address } = await open();
  const { body } = await fetch(`${address}/large`);
  let position = 0;
  for await (const part of body as ReadableStream<Uint8Array>) {
    for (let index = 0; index < part.length; index += 997)
      if (part[index] !== ANSWER[(position + index) % ANSWER.length])
        throw new Error(`differs at ${position}`);
    position += part.length;
    await setImmediate();
  }
  expect(position).toBe(REPEATS * ANSWER.length);
});

test("if a client disconnects in the middle of an answer, the connection behind the door ends, too", async () => {
  const { server, door } = await open();
  const reader = enter(door.taken.port);
  reader.write("GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n");
  await once(reader, "data");
  reader.pause();
  expect(server.pendingRequests).toBe(1);
  reader.destroy();
  while (server.pendingRequests > 0) await setImmediate();
});

test("connections that are open when the door closes stay until they have their answer", async () => {
  const { server, door, address } = await open();
  const { body } = await fetch(`${address}/large`);
  const left = Promise.all([door.close(), server.stop(false)]);
  let bytes = 0;
  for await (const part of body as ReadableStream<Uint8Array>) bytes += part.length;
  expect(bytes).toBe(REPEATS * ANSWER.length);
  await left;
});
