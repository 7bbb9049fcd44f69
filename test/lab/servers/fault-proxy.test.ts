import { expect, test } from "bun:test";
import { connect, createServer, type Socket } from "node:net";
import { startFaultProxy } from "./fault-proxy.ts";

/** A server that counts the bytes that it receives, and a client that reaches it through a proxy. */
async function setUp() {
  const stack = new AsyncDisposableStack();
  let receivedBytes = 0;
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket);
    socket.on("error", () => {});
    socket.on("data", (chunk: Uint8Array) => {
      receivedBytes += chunk.length;
      socket.write("x");
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const proxy = await startFaultProxy((server.address() as { port: number }).port);
  const open = async () => {
    const client = connect(proxy.port, "127.0.0.1");
    const state = { client, answers: 0, isClosed: false };
    client.on("error", () => {});
    client.on("data", (chunk: Uint8Array) => (state.answers += chunk.length));
    client.on("close", () => (state.isClosed = true));
    await new Promise((resolve) => client.once("connect", resolve));
    return state;
  };
  stack.defer(async () => {
    await proxy.stop();
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  });
  return { proxy, open, received: () => receivedBytes, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 2));
}

test("stall holds bytes in both directions, pass lets them go", async () => {
  await using lab = await setUp();
  const one = await lab.open();
  one.client.write("abc");
  await until(() => one.answers === 1);
  lab.proxy.stall();
  one.client.write("def");
  const two = await lab.open();
  two.client.write("ghi");
  // Gives every byte that could pass the time to do so.
  for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve));
  expect(lab.received()).toBe(3);
  lab.proxy.pass();
  await until(() => lab.received() === 9 && one.answers === 2 && two.answers === 1);
});

test("a cut closes connections after that many bytes, for good or once", async () => {
  await using lab = await setUp();
  const one = await lab.open();
  lab.proxy.cutOnceAfter(10);
  one.client.write(new Uint8Array(9));
  await until(() => one.answers === 1);
  one.client.write(new Uint8Array(9));
  await until(() => one.isClosed);
  const two = await lab.open();
  two.client.write("a");
  await until(() => two.answers === 1);
  lab.proxy.cutAfter(1);
  two.client.write("b");
  await until(() => two.isClosed);
  const three = await lab.open();
  await until(() => three.isClosed);
  expect(lab.received()).toBe(10);
});

test("throttle passes everything, in time", async () => {
  await using lab = await setUp();
  lab.proxy.throttle(1_000_000);
  const one = await lab.open();
  one.client.write(new Uint8Array(100_000));
  await until(() => lab.received() === 100_000);
});
