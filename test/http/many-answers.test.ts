import { heapStats } from "bun:jsc";
import { afterAll, beforeAll, expect, test } from "bun:test";
import { once } from "node:events";
import { readdirSync } from "node:fs";
import { connect } from "node:net";
import { setImmediate } from "node:timers/promises";
import { type EndpointLab, endpointLab } from "../lab/endpoint.ts";
import { ManualClock } from "../lab/manual-clock.ts";

const PATHS = ["/metrics", "/", "/health", "/status"];
/** Objects of the runtime that an answer needs. */
const OBJECTS = ["Response", "Request", "Headers", "AbortController", "AbortSignal"];

let lab: EndpointLab;

beforeAll(async () => {
  lab = await endpointLab();
});
afterAll(() => lab[Symbol.asyncDispose]());

test("nothing is left of many answers, read or not: no socket, no timer, no object", async () => {
  const clock = new ManualClock();
  const { address } = await lab.serve(`listen = "127.0.0.1:0"`, { clock });
  const answers = async (count: number) => {
    for (let index = 0; index < count; index++) {
      const path = PATHS[index % PATHS.length] as string;
      await (await fetch(address + path, { headers: { connection: "close" } })).arrayBuffer();
      // A client that leaves in the middle.
      const client = connect(Number(new URL(address).port), "127.0.0.1");
      client.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`);
      await once(client, "data");
      client.destroy();
    }
    while (clock.sleeping > 0) await setImmediate();
    Bun.gc(true);
    const { objectTypeCounts } = heapStats();
    return {
      files: readdirSync("/proc/self/fd").length,
      objects: OBJECTS.reduce((sum, name) => sum + (objectTypeCounts[name] ?? 0), 0),
    };
  };
  const before = await answers(20);
  const after = await answers(60);
  expect(after.files).toBeLessThanOrEqual(before.files);
  // Some objects wait for the next collection; answers that stay would leave some hundreds.
  expect(after.objects).toBeLessThan(before.objects + 50);
});
