import { afterAll, beforeAll, expect, test } from "bun:test";
import { silentLog } from "../../src/base/log.ts";
import { type Answer, httpAnswers, type Places } from "../../src/http/app.ts";
import { type EndpointLab, endpointLab } from "../lab/endpoint.ts";
import { ManualClock } from "../lab/manual-clock.ts";

const DATABASES = 1_200;
/** Many places are taken, so that a report is kept for a while: what follows on it only shows it. */
const PLACES: Places = { take: () => true, areFew: () => true };

let lab: EndpointLab;

beforeAll(async () => {
  lab = await endpointLab();
  const names = Array.from({ length: DATABASES }, (_, index) => `database-${index}`);
  await lab.context.catalog.overview.seeDatabases("main", names, "2026-11-23T00:00:00.000Z");
});
afterAll(() => lab[Symbol.asyncDispose]());

/** The answers of an endpoint whose shared reports stay. */
function answers(): (path: string) => Promise<string> {
  const { live, context } = lab;
  const http = () => context.config.http;
  const answer: Answer = httpAnswers({ live, http, log: silentLog, clock: new ManualClock() });
  return async (url) => {
    const made = await answer({ method: "GET", url, headers: new Headers() }, PLACES);
    expect({ url, status: made.status }).toEqual({ url, status: 200 });
    return await made.text();
  };
}

/** The turns that the event loop has until the work is done. */
async function turnsOf(work: Promise<unknown>): Promise<number> {
  let [turns, isDone] = [0, false];
  const count = () => {
    turns++;
    if (!isDone) setImmediate(count);
  };
  setImmediate(count);
  await work;
  isDone = true;
  return turns;
}

test.each([
  ["/status?format=json", "/"],
  ["/status?format=text", "/"],
  ["/metrics", "/"],
  ["/", "/status"],
  ["/status?format=json&fleet=1", "/?fleet=1"],
  ["/status?format=text&fleet=1", "/?fleet=1"],
])("%s of many databases gives way to other work while it is written", async (path, before) => {
  const ask = answers();
  await ask(before);
  expect(await turnsOf(ask(path))).toBeGreaterThan(20);
});

test.each(["/status?format=json", "/status?format=text", "/"])(
  "requests for %s at the same time share what is written",
  async (path) => {
    let shown = 0;
    lab.part.running = [
      {
        ...{ run_id: null, job: "backup", schedule: null, host: "db1", pid: 7, progress: [] },
        ...{ state: "running", started_at: "2026-11-23T00:00:00.000Z" },
        get title() {
          shown++;
          return "";
        },
      } as unknown as (typeof lab.part.running)[number],
    ];
    const ask = answers();
    const texts = await Promise.all(Array.from({ length: 60 }, () => ask(path)));
    expect(new Set(texts).size).toBe(1);
    expect(shown).toBeLessThan(5);
  },
);

test("large answers that are ready at the same time are sent in a turn each", async () => {
  const ask = answers();
  await ask("/status?format=json");
  const count = 60;
  const all = Promise.all(Array.from({ length: count }, () => ask("/status?format=json")));
  expect(await turnsOf(all)).toBeGreaterThanOrEqual(count);
});
