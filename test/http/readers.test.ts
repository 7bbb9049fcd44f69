import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { request } from "node:http";
import { type EndpointLab, endpointLab } from "../lab/endpoint.ts";

const TOKEN = "correct horse battery";
const PATHS = ["/", "/status", "/metrics", "/ready", "/nothing"];

let lab: EndpointLab;

beforeAll(async () => {
  lab = await endpointLab();
});
afterAll(() => lab[Symbol.asyncDispose]());

/** Sends a request with any Host header; `undefined` sends none, which no browser does. */
function statusAs(host: string | undefined, address: string, path = "/health"): Promise<number | undefined> {
  const place = address.startsWith("unix:")
    ? { socketPath: address.slice("unix:".length) }
    : { host: new URL(address).hostname.replace(/[[\]]/g, ""), port: new URL(address).port };
  return new Promise((resolve, reject) => {
    const asking = request(
      { ...place, path, setHost: false, ...(host !== undefined && { headers: { host } }) },
      (answer) => {
        answer.resume();
        answer.on("end", () => resolve(answer.statusCode));
      },
    );
    asking.on("error", reject);
    asking.end();
  });
}

describe("a token", () => {
  const bearer = (token: string) => ({ authorization: `Bearer ${token}` });
  const basic = (text: string) => ({ authorization: `Basic ${Buffer.from(text).toString("base64")}` });
  const serve = () => lab.serve(`listen = "127.0.0.1:0"\ntoken = "${TOKEN.replaceAll(" ", "-")}"`);
  const token = TOKEN.replaceAll(" ", "-");

  test("is required for every path except /health", async () => {
    const { address } = await serve();
    for (const path of PATHS) {
      const answer = await fetch(address + path, { headers: { accept: "application/json" } });
      expect({ path, status: answer.status }).toEqual({ path, status: 401 });
      expect(answer.headers.get("www-authenticate")).toStartWith('Bearer realm="pg321", Basic realm=');
      expect(await answer.json()).toEqual({
        error: "a token is required: send it as a bearer token, or as the password of any user name",
      });
    }
    expect((await fetch(`${address}/health`)).status).toBe(200);
    expect((await fetch(`${address}/health/`)).status).toBe(401);
    expect((await fetch(`${address}//health?x`)).status).toBe(200);
  });

  test("gives access to everything, as a bearer token or as a password", async () => {
    const { address } = await serve();
    const forms = [
      bearer(token),
      { authorization: `bEARER  ${token}` },
      basic(`:${token}`),
      basic(`anna:${token}`),
    ];
    for (const headers of forms) {
      for (const path of ["/", "/status", "/metrics", "/ready"])
        expect({ path, headers, status: (await fetch(address + path, { headers })).status }).toMatchObject({
          status: 200,
        });
    }
  });

  test("must be the right one", async () => {
    const { address } = await serve();
    const wrong = [
      bearer(`${token}x`),
      bearer(token.slice(1)),
      bearer(token.toUpperCase()),
      bearer(""),
      { authorization: token },
      { authorization: `Token ${token}` },
      { authorization: `Bearer ${token} x` },
      basic(token.slice(1)),
      basic(`${token}:`),
      basic(`a:b:${token}`),
      { authorization: "Basic %%%" },
    ];
    for (const headers of wrong)
      expect({ headers, status: (await fetch(`${address}/status`, { headers })).status }).toEqual({
        headers,
        status: 401,
      });
  });
});

describe("the host name of the endpoint", () => {
  const OWN = ["localhost", "LOCALHOST:80", "127.0.0.1", "127.0.0.1:8321", "[::1]", "[::1]:1", "192.0.2.7"];
  const OTHERS = [
    "evil.example",
    "localhost.evil.example",
    "127.0.0.1.evil.example:80",
    "a, b",
    "localhost:x",
    "[::1",
  ];
  const statuses = async (names: readonly (string | undefined)[], address: string) =>
    Object.fromEntries(
      await Promise.all(names.map(async (name) => [String(name), await statusAs(name, address)])),
    );
  const all = (names: readonly string[], status: number) =>
    Object.fromEntries(names.map((name) => [name, status]));

  test.each(["127.0.0.1:0", "[::1]:0", "localhost:0"])(
    "at %s is its own name, or an address",
    async (listen) => {
      const { address } = await lab.serve(`listen = "${listen}"`);
      expect(await statuses(OWN, address)).toEqual(all(OWN, 200));
      expect(await statuses(OTHERS, address)).toEqual(all(OTHERS, 421));
    },
  );

  test.each(["LOCALHOST:0", "127.1:0", "0x7f.1:0", "[0:0::0:1]:0", "[::ffff:127.0.0.1]:0"])(
    "at %s, which is the loopback in other words, too",
    async (listen) => {
      const { address } = await lab.serve(`listen = "${listen}"`);
      expect(await statuses(OWN, address)).toEqual(all(OWN, 200));
      expect(await statuses(OTHERS, address)).toEqual(all(OTHERS, 421));
    },
  );

  test("may be a name in the config", async () => {
    const { address } = await lab.serve('listen = "127.0.0.1:0"\nhosts = ["Backup.example.com"]');
    const names = ["backup.example.com", "BACKUP.example.com:443", ...OWN];
    expect(await statuses(names, address)).toEqual(all(names, 200));
    expect(await statuses(OTHERS, address)).toEqual(all(OTHERS, 421));
  });

  test("may be any name if other hosts can connect, unless the config has names", async () => {
    const open = await lab.serve('listen = "0.0.0.0:0"');
    expect(await statuses(["evil.example", "backup"], open.address)).toEqual(
      all(["evil.example", "backup"], 200),
    );
    const named = await lab.serve('listen = "0.0.0.0:0"\nhosts = ["backup"]');
    expect(await statuses(["evil.example", "backup"], named.address)).toEqual({
      "evil.example": 421,
      backup: 200,
    });
  });

  test("may be any name over a socket file", async () => {
    const { address } = await lab.serve(`listen = "unix:${lab.directory}/names.sock"`);
    expect(await statuses(OTHERS.slice(0, 3), address)).toEqual(all(OTHERS.slice(0, 3), 200));
  });

  test("is checked first, before token and path", async () => {
    const { address } = await lab.serve(`listen = "127.0.0.1:0"\ntoken = "0123456789abcdef"`);
    for (const path of [...PATHS, "/health"]) expect(await statusAs("evil.example", address, path)).toBe(421);
  });
});
