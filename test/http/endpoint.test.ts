import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { raiseAlert } from "../../src/alerts/alert.ts";
import type { Log } from "../../src/base/log.ts";
import { VERSION } from "../../src/base/version.ts";
import type { AlertLevel } from "../../src/config/config.ts";
import type { Verdict } from "../../src/status/verdict.ts";
import { alertRequest } from "../lab/alert-context.ts";
import { type EndpointLab, endpointLab } from "../lab/endpoint.ts";
import { ManualClock } from "../lab/manual-clock.ts";

const PATHS = ["/", "/status", "/metrics", "/health", "/ready"];

let lab: EndpointLab;
let address: string;

beforeAll(async () => {
  lab = await endpointLab();
  ({ address } = await lab.serve());
});
afterAll(() => lab[Symbol.asyncDispose]());

const ask = (path: string, init?: RequestInit) => fetch(address + path, init);

describe("/status?fail", () => {
  test("answers 503 for a verdict, with the same body and the verdict in the JSON", async () => {
    await using own = await endpointLab();
    const { address: base } = await own.serve();
    const statuses = async () =>
      Promise.all(
        ["", "?fail=1", "?fail=warning"].map(async (query) => (await fetch(`${base}/status${query}`)).status),
      );
    expect(await statuses()).toEqual([200, 200, 200]);
    const open = (level: AlertLevel) => raiseAlert(own.context, alertRequest({ level, key: level }));
    await open("WARNING");
    expect(await statuses()).toEqual([200, 200, 503]);
    await open("CRITICAL");
    expect(await statuses()).toEqual([200, 503, 503]);
    const { verdict } = (await (await fetch(`${base}/status?format=json&fail=1`)).json()) as {
      verdict: Verdict;
    };
    expect(verdict).toMatchObject({ level: "bad", problems: [{ level: "bad" }, { level: "warning" }] });
    expect(await (await fetch(`${base}/status?fail=1`)).text()).toStartWith(`${verdict.sentence}\n`);
    expect((await fetch(`${base}/status?fail=yes`)).status).toBe(400);
  });
});

describe("/health", () => {
  test("is ok while there is no problem, in one line that any program can search", async () => {
    const answer = await ask("/health");
    expect({ status: answer.status, type: answer.headers.get("content-type") }).toEqual({
      status: 200,
      type: "application/json",
    });
    expect(await answer.text()).toBe('{"status":"ok"}\n');
  });

  test("is 503 with the reasons while the daemon has problems", async () => {
    lab.part.problems = async () => ["the scheduler has not ticked for 2 minutes"];
    const answer = await ask("/health");
    lab.part.problems = async () => [];
    expect(answer.status).toBe(503);
    expect(await answer.text()).toBe(
      '{"status":"failing","reasons":["the scheduler has not ticked for 2 minutes"]}\n',
    );
  });

  test("is 503 if the check of the daemon fails", async () => {
    lab.part.problems = () => Promise.reject(new Error("catalog /x: disk I/O error"));
    const answer = await ask("/health");
    lab.part.problems = async () => [];
    expect(answer.status).toBe(503);
    expect(await answer.json()).toEqual({ status: "failing", reasons: ["catalog /x: disk I/O error"] });
  });

  test("does not wait for a daemon that does not answer", async () => {
    const clock = new ManualClock();
    const server = await lab.serve(undefined, { clock });
    lab.part.problems = () => new Promise(() => {});
    const answer = await clock.advanceUntil(fetch(`${server.address}/health`));
    lab.part.problems = async () => [];
    expect(answer.status).toBe(503);
    expect(await answer.json()).toEqual({
      status: "failing",
      reasons: ["no answer from the daemon within 3000 ms"],
    });
    await clock.advanceUntil(server.stop());
  });
});

test("/ready is 503 while the daemon starts, stops, or is not healthy", async () => {
  expect(await (await ask("/ready")).text()).toBe('{"status":"ready"}\n');
  lab.part.waits = ["stopping"];
  lab.part.problems = async () => ["the catalog does not answer"];
  const answer = await ask("/ready");
  lab.part.waits = [];
  lab.part.problems = async () => [];
  expect(answer.status).toBe(503);
  expect(await answer.json()).toEqual({
    status: "waiting",
    reasons: ["stopping", "the catalog does not answer"],
  });
});

describe("/status", () => {
  const typeFor = async (accept: string | undefined, query = "") => {
    const answer = await ask(`/status${query}`, { headers: accept === undefined ? {} : { accept } });
    await answer.arrayBuffer();
    return answer.headers.get("content-type");
  };
  const [JSON_TYPE, TEXT_TYPE] = ["application/json", "text/plain; charset=utf-8"];

  test.each([
    ["*/*", TEXT_TYPE],
    ["", TEXT_TYPE],
    ["text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", TEXT_TYPE],
    ["text/plain", TEXT_TYPE],
    ["text/plain, application/json;q=0.5", TEXT_TYPE],
    ["application/*", TEXT_TYPE],
    ["application/json;q=0", TEXT_TYPE],
    ["image/png", TEXT_TYPE],
    ["nonsense;;,q=x", TEXT_TYPE],
    ["application/json", JSON_TYPE],
    ["Application/JSON", JSON_TYPE],
    ["application/problem+json", JSON_TYPE],
    ["application/json, text/plain, */*", JSON_TYPE],
    ["application/json;q=0.9, text/plain;q=0.1", JSON_TYPE],
  ])("for Accept: %s", async (accept, type) => {
    expect(await typeFor(accept)).toBe(type);
    expect(await typeFor(accept, "?format=json")).toBe(JSON_TYPE);
    expect(await typeFor(accept, "?format=text")).toBe(TEXT_TYPE);
  });

  test("has the daemon, its host and its version", async () => {
    const report = await (await ask("/status?format=json")).json();
    expect(report).toMatchObject({
      version: VERSION,
      host: lab.context.host,
      installation: lab.context.installation,
      now: "2026-11-23T00:00:00.000Z",
      daemon: { pid: process.pid },
    });
    expect(await (await ask("/status")).text()).toContain(`pg321 ${VERSION} on ${lab.context.host}`);
  });

  test("refuses an unknown format, in the format that the client accepts", async () => {
    const text = await ask("/status?format=yaml");
    expect({ status: text.status, body: await text.text() }).toEqual({
      status: 400,
      body: "format must be one of json, text\n",
    });
    const json = await ask("/status?format=", { headers: { accept: "application/json" } });
    expect({ status: json.status, body: await json.json() }).toEqual({
      status: 400,
      body: { error: "format must be one of json, text" },
    });
  });
});

test.each(PATHS)("HEAD %s has the same answer as GET, without the body", async (path) => {
  const [get, head] = [await ask(path), await ask(path, { method: "HEAD" })];
  expect(head.status).toBe(200);
  expect(await head.text()).toBe("");
  expect((await get.text()).length).toBeGreaterThan(0);
  expect(head.headers.get("content-type")).toBe(get.headers.get("content-type"));
});

test.each([...PATHS, "/nothing"])("%s refuses every method that could change something", async (path) => {
  for (const method of ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"]) {
    const answer = await ask(path, { method, ...(method === "OPTIONS" ? {} : { body: "x=1" }) });
    expect({ method, status: answer.status, allow: answer.headers.get("allow") }).toEqual({
      method,
      status: 405,
      allow: "GET, HEAD",
    });
    expect(await answer.text()).toBe("method not allowed: this endpoint answers only GET and HEAD\n");
  }
});

test("an unknown path is 404", async () => {
  for (const path of ["/nothing", "/health/", "/status/x", "//status", "/..%2fstatus", "/favicon.ico"]) {
    const answer = await ask(path, { headers: { accept: "application/json" } });
    const isStatus = path === "//status";
    expect({ path, status: answer.status }).toEqual({ path, status: isStatus ? 200 : 404 });
    if (!isStatus)
      expect(await answer.json()).toEqual({
        error: "not found; try /, /status, /metrics, /health or /ready",
      });
  }
});

test("every answer forbids a browser everything that the page does not need", async () => {
  const answers = [
    ...(await Promise.all([...PATHS, "/nothing", "/status?format=x"].map((path) => ask(path)))),
    await ask("/status", { method: "POST" }),
  ];
  for (const answer of answers) {
    expect(Object.fromEntries(answer.headers)).toMatchObject({
      "x-content-type-options": "nosniff",
      "x-frame-options": "DENY",
      "referrer-policy": "no-referrer",
      "cross-origin-resource-policy": "same-origin",
      "cache-control": "no-store",
    });
    expect(answer.headers.has("server")).toBe(false);
    const policy = answer.headers.get("content-security-policy") ?? "";
    const isPage = answer.headers.get("content-type")?.startsWith("text/html");
    expect(policy.replace(/'sha256-[A-Za-z0-9+/=]+'/, "HASH")).toBe(
      `default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'${isPage ? "; style-src HASH" : ""}`,
    );
  }
});

test("an internal error is in the log, and the client learns only that there is one", async () => {
  const logged: unknown[] = [];
  const note = (...words: unknown[]) => void logged.push(words);
  const log: Log = { debug: note, info: note, warning: note, error: note };
  const server = await lab.serve(undefined, { log });
  const { context } = lab.live;
  lab.live.context = () => {
    throw new Error("a secret detail");
  };
  for (const path of ["/status", "/metrics", "/"]) {
    const answer = await fetch(server.address + path);
    expect({ path, status: answer.status, text: await answer.text() }).toEqual({
      path,
      status: 500,
      text: "the request failed; the daemon's log has the reason\n",
    });
    expect(answer.headers.get("x-content-type-options")).toBe("nosniff");
  }
  lab.live.context = context;
  expect(logged).toContainEqual([
    "answering a request failed",
    { path: "/status", error: "a secret detail" },
  ]);
});

test("a request does not fail if a reload closes its context", async () => {
  const before = await endpointLab();
  await before[Symbol.asyncDispose]();
  const { context } = lab.live;
  for (const path of ["/status", "/metrics", "/"])
    for (const old of [1, 2, 3]) {
      let asked = 0;
      lab.live.context = () => (++asked === old ? before.context : lab.context);
      expect({ path, old, status: (await ask(path)).status }).toEqual({ path, old, status: 200 });
    }
  lab.live.context = context;
});
