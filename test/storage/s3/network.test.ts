import { beforeAll, describe, expect, test } from "bun:test";
import { PART_BYTES_MIN } from "../../../src/base/limits.ts";
import type { S3StorageConfig } from "../../../src/config/config.ts";
import { proxyFor } from "../../../src/config/proxy.ts";
import type { Storage } from "../../../src/storage/storage.ts";
import { partsOf } from "../../../src/stream/part.ts";
import { bytesOf } from "../../lab/data/streams.ts";
import { type Authority, startAuthority } from "../../lab/machine/certificates.ts";
import { startConnectProxy } from "../../lab/servers/connect-proxy.ts";
import { freePort } from "../../lab/servers/free-port.ts";
import { portOf, rgw, type S3Lab } from "../../lab/servers/s3.ts";
import { startTlsFront, type TlsFront } from "../../lab/servers/tls-front.ts";
import { patterned } from "../../suites/parts.ts";
import { openS3 } from "./under-test.ts";

const partBytes = PART_BYTES_MIN;
const signal = new AbortController().signal;
const BYTES = 6 * 1024 * 1024;

let lab: S3Lab;
let bucket: string;
beforeAll(async () => {
  lab = await rgw();
  bucket = await lab.makeBucket();
});

async function roundTrip(storage: Storage): Promise<void> {
  const key = `net-${crypto.randomUUID()}`;
  await storage.put(key, partsOf(patterned(BYTES)), { signal, partBytes });
  expect((await bytesOf(storage.get(key, undefined, signal))).length).toBe(BYTES);
}

/** The real server behind TLS, with the certificate of an authority that only its file makes known. */
async function behindTls(): Promise<
  AsyncDisposable & { front: TlsFront; authority: Authority; endpoint: string }
> {
  await using stack = new AsyncDisposableStack();
  const authority = stack.use(await startAuthority());
  const front = stack.use(await startTlsFront(portOf(lab), await authority.issue("localhost")));
  const all = stack.move();
  return {
    front,
    authority,
    endpoint: `https://localhost:${front.port}`,
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  };
}

const open = (change: Partial<S3StorageConfig>) => openS3(lab, bucket, { attempts: 1, ...change });
const failure = (storage: Storage) => storage.head("x", signal).catch((error) => error);
const through = (endpoint: string, env: Record<string, string>) => ({
  endpoint,
  proxy: proxyFor(new URL(endpoint), env),
});

describe("an endpoint with a private authority", () => {
  test("is trusted with ca_file, and refused without, with the way out", async () => {
    await using lan = await behindTls();
    await using storage = open({ endpoint: lan.endpoint, ca_file: lan.authority.file });
    await roundTrip(storage);
    await using blind = open({ endpoint: lan.endpoint });
    const error = await failure(blind);
    expect(error).toMatchObject({
      code: "storage",
      retryable: false,
      hint: expect.stringContaining("ca_file"),
    });
    expect(error.message).toBe(
      `storage "lab": head x: the certificate of ${lan.endpoint} is not trusted (UNABLE_TO_VERIFY_LEAF_SIGNATURE)`,
    );
    // The connections of one are never those of the other.
    await roundTrip(storage);
  });

  test("of another name, or another authority, is not trusted either", async () => {
    await using lan = await behindTls();
    await using other = await startAuthority();
    const { port } = lan.front;
    const untrusted = { message: expect.stringContaining("is not trusted (") };
    await using stranger = open({ endpoint: lan.endpoint, ca_file: other.file });
    expect(await failure(stranger)).toMatchObject(untrusted);
    await using misnamed = open({ endpoint: `https://127.0.0.1:${port}`, ca_file: lan.authority.file });
    expect(await failure(misnamed)).toMatchObject(untrusted);
  });

  test("whose file is gone or holds no certificate stops this storage, with the file's name", async () => {
    await using lan = await behindTls();
    await using missing = open({ endpoint: lan.endpoint, ca_file: "/nowhere/ca.pem" });
    expect(await failure(missing)).toMatchObject({
      code: "storage",
      message: 'storage "lab": head x: ca_file /nowhere/ca.pem: there is no such file',
    });
    expect(lan.front.count()).toBe(0);
  });
});

describe("a proxy", () => {
  test("is gone through, TLS inside, login and all", async () => {
    await using lan = await behindTls();
    await using proxy = await startConnectProxy("user:p@ss");
    const url = proxy.url.replace("p@ss", "p%40ss");
    await using storage = open({
      ...through(lan.endpoint, { HTTPS_PROXY: url }),
      ca_file: lan.authority.file,
    });
    await roundTrip(storage);
    expect(new Set(proxy.asked)).toEqual(new Set([`localhost:${lan.front.port}`]));
    await using plain = open(through(lab.endpoint, { HTTP_PROXY: url }));
    await roundTrip(plain);
    expect(proxy.asked).toContain(new URL(lab.endpoint).host);
  });

  test("is passed by for NO_PROXY, whatever the environment of the process says", async () => {
    await using lan = await behindTls();
    await using proxy = await startConnectProxy();
    const env = { HTTPS_PROXY: proxy.url, NO_PROXY: "localhost" };
    await using storage = open({ ...through(lan.endpoint, env), ca_file: lan.authority.file });
    process.env["HTTPS_PROXY"] = proxy.url;
    try {
      await roundTrip(storage);
    } finally {
      delete process.env["HTTPS_PROXY"];
    }
    expect(proxy.asked).toEqual([]);
  });

  test("that is dead is named as the one that does not answer, without its password", async () => {
    const place = `127.0.0.1:${await freePort()}`;
    for (const endpoint of ["https://s3.example.com", lab.endpoint]) {
      const url = `http://user:s3cret@${place}`;
      await using storage = open(through(endpoint, { HTTPS_PROXY: url, HTTP_PROXY: url }));
      const error = await failure(storage);
      expect(error).toMatchObject({
        code: "storage",
        retryable: true,
        message: `storage "lab": head x: no answer from the proxy ${place} (ECONNREFUSED)`,
        hint: expect.stringContaining(`add ${new URL(endpoint).host} to NO_PROXY`),
      });
      expect(Bun.inspect(error)).not.toContain("s3cret");
    }
  });

  test.each([
    ["403 Forbidden", false, "rules of the proxy"],
    ["407 Proxy Authentication Required", false, "http://user:password@host:port"],
    ["503 Service Unavailable", true, "the proxy cannot reach that host"],
  ])("that answers %s is named, and the hint is about it", async (status, retryable, hint) => {
    await using proxy = await startConnectProxy();
    proxy.refuseWith(status);
    await using storage = open(through("https://s3.example.com", { HTTPS_PROXY: proxy.url }));
    expect(await failure(storage)).toMatchObject({
      message: `storage "lab": head x: the proxy ${proxy.place} refuses to connect to s3.example.com: ${status}`,
      hint: expect.stringContaining(hint),
      retryable,
    });
  });

  test("that asks for a login refuses a request without TLS in its own name, too", async () => {
    await using proxy = await startConnectProxy("user:password");
    await using storage = open(through(lab.endpoint, { HTTP_PROXY: `http://${proxy.place}` }));
    expect(await failure(storage)).toMatchObject({
      message: expect.stringContaining(`the proxy ${proxy.place} refuses`),
      hint: expect.stringContaining("http://user:password@host:port"),
      retryable: false,
    });
  });
});
