import { afterAll, afterEach, beforeAll, expect, spyOn, test } from "bun:test";
import { once } from "node:events";
import { ServerResponse } from "node:http";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import {
  HTTP_ANSWER_MS_MAX,
  HTTP_CONNECTIONS_MAX,
  HTTP_IDLE_MS_MAX,
  HTTP_READING_MS_MIN,
  HTTP_REQUESTS_MAX,
} from "../../src/base/limits.ts";
import type { StatusReport } from "../../src/status/report.ts";
import { type EndpointLab, endpointLab } from "../lab/endpoint.ts";
import { ManualClock } from "../lab/manual-clock.ts";

const LARGE = "/status?format=json";

let lab: EndpointLab;
let clients: Socket[] = [];

beforeAll(async () => {
  lab = await endpointLab();
  // An answer of more than the kernel buffers for a client: 4 MB on the side that sends, and 2 MB on the other.
  const names = Array.from({ length: 1_500 }, (_, index) => `${index}-${"x".repeat(4_500)}`);
  await lab.context.catalog.overview.seeDatabases("main", names, "2026-11-23T00:00:00.000Z");
});
afterEach(() => {
  for (const client of clients) client.destroy();
  clients = [];
});
afterAll(() => lab[Symbol.asyncDispose]());

interface Door {
  clock: ManualClock;
  enter(sent?: string, localAddress?: string): Socket;
  ask(path: string): Promise<Response>;
  status(path: string): Promise<number>;
}

/** An endpoint on a TCP address or a socket file, whose clock only the test advances. */
async function open(kind: "tcp" | "unix" = "unix"): Promise<Door> {
  const clock = new ManualClock();
  const path = join(lab.directory, `${crypto.randomUUID()}.sock`);
  const at = kind === "tcp" ? "127.0.0.1:0" : `unix:${path}`;
  const { address } = await lab.serve(`listen = "${at}"`, { clock });
  const place = kind === "tcp" ? { port: Number(new URL(address).port), host: "127.0.0.1" } : { path };
  const headers = { connection: "close" };
  const ask = (of: string) =>
    kind === "tcp"
      ? fetch(address + of, { headers })
      : fetch(`http://localhost${of}`, { unix: path, headers });
  return {
    clock,
    ask,
    enter(sent, localAddress) {
      const client = connect({ ...place, ...(localAddress !== undefined && { localAddress }) }).on(
        "error",
        () => {},
      );
      clients.push(client);
      if (sent !== undefined) client.write(sent);
      return client;
    },
    async status(of) {
      const answer = await ask(of);
      await answer.arrayBuffer();
      return answer.status;
    },
  };
}

const get = (path: string) => `GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`;

/** A client that has the first bytes of a large answer and reads no more. */
async function begin(door: Door): Promise<Socket> {
  const client = door.enter(get(LARGE));
  await once(client, "data");
  client.pause();
  return client;
}

/** Resolves once the server has ended the connection, which a client that does not read does not notice. */
async function ended(client: Socket): Promise<void> {
  if (client.closed) return;
  const closed = once(client, "close");
  client.resume();
  await closed;
}

test.each(["tcp", "unix"] as const)(
  "an answer over %s that is read byte by byte is cut off after a total time",
  async (kind) => {
    const door = await open(kind);
    const client = await begin(door);
    for (let passedMs = 0; passedMs < HTTP_ANSWER_MS_MAX; passedMs += HTTP_IDLE_MS_MAX / 2) {
      // A paused client does not notice its end, but the server drops the deadline of a connection that it closes.
      expect(door.clock.sleeping).toBe(1);
      client.read(1);
      await door.clock.advance(HTTP_IDLE_MS_MAX / 2);
    }
    await ended(client);
    while (door.clock.sleeping > 0) await setImmediate();
  },
);

test("a request that arrives byte by byte is cut off after a total time", async () => {
  const door = await open();
  const client = door.enter("GET /status HTTP/1.1\r\n");
  while (door.clock.sleeping === 0) await setImmediate();
  for (let passedMs = 0; passedMs < HTTP_IDLE_MS_MAX; passedMs += HTTP_IDLE_MS_MAX / 5) {
    expect(client.closed).toBe(false);
    client.write("X: a\r\n");
    await door.clock.advance(HTTP_IDLE_MS_MAX / 5);
  }
  await ended(client);
});

test("a connection without a request is closed, also after an answer", async () => {
  const door = await open();
  const client = door.enter(get("/health"));
  await once(client, "data");
  // The timer of the answer is replaced by the one of the next request.
  await door.clock.advance(HTTP_IDLE_MS_MAX - 1);
  expect(client.closed).toBe(false);
  client.write(get("/health"));
  await once(client, "data");
  await door.clock.advance(HTTP_IDLE_MS_MAX);
  await ended(client);
});

test.each(["tcp", "unix"] as const)(
  "/health answers at once over %s while slow clients of every kind hold everything else",
  async (kind) => {
    const door = await open(kind);
    await Promise.all(Array.from({ length: HTTP_REQUESTS_MAX }, () => begin(door)));
    expect(await door.status("/ready")).toBe(503);
    const answered = Array.from({ length: 60 }, () => door.enter(get("/health")));
    const half = Array.from({ length: 300 }, () => door.enter("GET /status HTTP/1.1\r\nHost: loc"));
    for (const one of [...answered, ...half]) await once(one, "connect");
    expect(await door.status("/health")).toBe(200);
    expect(await door.status("/ready")).toBe(503);
    // The places at the door are limited, and those that wait longest without a request have given way.
    while (half.filter(({ closed }) => closed).length < 300 - HTTP_CONNECTIONS_MAX) {
      for (const one of half) one.resume();
      await setImmediate();
    }
    for (let count = 0; count < 20; count++) expect(await door.status("/health")).toBe(200);
  },
);

test("if all places are taken, the answer that has been read for longest gives way", async () => {
  const door = await open();
  const first = await begin(door);
  await door.clock.advance(1);
  const others = await Promise.all(Array.from({ length: HTTP_REQUESTS_MAX - 1 }, () => begin(door)));
  await door.clock.advance(HTTP_READING_MS_MIN - 2);
  expect(await door.status("/ready")).toBe(503);
  await door.clock.advance(1);
  expect(await door.status("/ready")).toBe(200);
  await ended(first);
  expect(others.filter(({ closed }) => closed)).toEqual([]);
});

test("while many places are taken, a report is up to a second old, so that insistent clients cost less", async () => {
  const door = await open();
  const verdict = async () => ((await (await door.ask(LARGE)).json()) as StatusReport).daemon?.is_stopping;
  const stopping = lab.live.daemon;
  await Promise.all(Array.from({ length: HTTP_REQUESTS_MAX / 4 + 1 }, () => begin(door)));
  expect(await verdict()).toBe(false);
  lab.live.daemon = () => ({ ...stopping(), is_stopping: true });
  expect(await verdict()).toBe(false);
  await door.clock.advance(1_000);
  expect(await verdict()).toBe(true);
  lab.live.daemon = stopping;
});

test("a client that sends a request before it has read the answer to the last one is cut off", async () => {
  const door = await open();
  const client = door.enter(get(LARGE) + get(LARGE));
  await ended(client);
  expect(await door.status("/ready")).toBe(200);
});

test("an answer is written only as far as its client reads it, so that many slow clients share one in memory", async () => {
  const door = await open();
  const whole = (await (await door.ask(LARGE)).bytes()).length;
  using write = spyOn(ServerResponse.prototype, "write");
  using end = spyOn(ServerResponse.prototype, "end");
  const client = await begin(door);
  for (let turn = 0; turn < 100; turn++) await setImmediate();
  const written = write.mock.calls.reduce((sum, [piece]) => sum + (piece as Uint8Array).length, 0);
  expect({ isPart: written > 0 && written < whole / 2, ends: end.mock.calls.length }).toEqual({
    isPart: true,
    ends: 0,
  });
  client.resume();
  while (end.mock.calls.length === 0) await setImmediate();
});

test("a slow client receives everything that was sent, to the last byte", async () => {
  const door = await open();
  const whole = await (await door.ask(LARGE)).bytes();
  const { body } = await door.ask(LARGE);
  const parts: Uint8Array[] = [];
  for await (const part of body as ReadableStream<Uint8Array>) {
    parts.push(part);
    await setImmediate();
  }
  expect(Buffer.compare(Buffer.concat(parts), whole)).toBe(0);
});

test("an answer is refused for lack of a place, with the time to come again, until another client leaves", async () => {
  const door = await open();
  const readers = await Promise.all(Array.from({ length: HTTP_REQUESTS_MAX }, () => begin(door)));
  const { status, headers } = await door.ask("/metrics");
  expect({ status, after: headers.get("retry-after") }).toEqual({ status: 503, after: "1" });
  readers[0]?.destroy();
  while ((await door.status("/ready")) !== 200) await setImmediate();
});

test("a client with all connections does not keep others from /health while the catalog does not answer", async () => {
  const door = await open("tcp");
  const { problems } = lab.part;
  lab.part.problems = () => new Promise(() => {});
  const held = Array.from({ length: HTTP_CONNECTIONS_MAX }, () => door.enter(get("/health"), "127.0.0.2"));
  // Of each connection its deadline, and the time limit of its answer.
  while (door.clock.sleeping < 2 * HTTP_CONNECTIONS_MAX) await setImmediate();
  lab.part.problems = problems;
  for (let count = 0; count < 5; count++) expect(await door.status("/health")).toBe(200);
  expect(held.filter(({ closed }) => !closed).length).toBeGreaterThanOrEqual(HTTP_CONNECTIONS_MAX - 5);
});

test("an answer that is still being made keeps its place after its client has left", async () => {
  const door = await open();
  const { problems } = lab.part;
  const hung = Promise.withResolvers<string[]>();
  lab.part.problems = () => hung.promise;
  const askers = Array.from({ length: HTTP_REQUESTS_MAX }, () => door.enter(get("/ready")));
  while (door.clock.sleeping < 2 * HTTP_REQUESTS_MAX) await setImmediate();
  for (const one of askers) one.destroy();
  while (door.clock.sleeping > HTTP_REQUESTS_MAX) await setImmediate();
  lab.part.problems = problems;
  expect(await door.status("/metrics")).toBe(503);
  hung.resolve([]);
  while ((await door.status("/metrics")) !== 200) await setImmediate();
});
