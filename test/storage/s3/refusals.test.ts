import { afterEach, beforeAll, describe, expect, setSystemTime, test } from "bun:test";
import { PutObjectCommand } from "@aws-sdk/client-s3";
import { systemClock } from "../../../src/base/clock.ts";
import type { Pg321Error } from "../../../src/base/errors.ts";
import { MINUTE_MS, PART_BYTES_MIN } from "../../../src/base/limits.ts";
import { Secret } from "../../../src/base/secret.ts";
import { lookAtStorage } from "../../../src/doctor/storage.ts";
import type { Storage } from "../../../src/storage/storage.ts";
import { partsOf } from "../../../src/stream/part.ts";
import { startHttpProxy } from "../../lab/servers/http-proxy.ts";
import { deny, rgw, type S3Lab, swift } from "../../lab/servers/s3.ts";
import { patterned } from "../../suites/parts.ts";
import { openS3, s3Config } from "./under-test.ts";

const partBytes = PART_BYTES_MIN;
const never = new AbortController().signal;
const WRONG_SECRET = "the signature was refused (SignatureDoesNotMatch, 403)";

/** The calls that begin with a HEAD, whose refusal has no body with a reason. */
const CALLS: [string, (storage: Storage) => Promise<unknown>][] = [
  ["head", (storage) => storage.head("refused", never)],
  ["put", (storage) => storage.put("refused", partsOf(patterned(10)), { signal: never, partBytes })],
];

async function errorOf(promise: Promise<unknown>): Promise<Pg321Error> {
  return promise.then(
    () => expect.unreachable("it should have been refused"),
    (error) => error,
  );
}

describe.each([
  ["Ceph RGW", rgw, "the access key is unknown (InvalidAccessKeyId, 403)"],
  // It checks the signature first.
  ["OpenStack Swift", swift, WRONG_SECRET],
] as const)("a HEAD that %s refuses", (_server, start, unknownKey) => {
  let lab: S3Lab;
  let bucket: string;
  beforeAll(async () => {
    lab = await start();
    bucket = await lab.makeBucket();
  });
  afterEach(() => void setSystemTime());

  test.each([
    ["ahead of", 20],
    ["behind", -20],
  ])("because the clock is %s its own", async (direction, minutes) => {
    for (const [, call] of CALLS) {
      // Each storage is new, as in each run: the server's clock is not known yet.
      const storage = openS3(lab, bucket);
      setSystemTime(new Date(Date.now() + minutes * MINUTE_MS));
      // The second time, too: the server's clock in its replies must not hide the cause.
      for (let time = 0; time < 2; time++) {
        const error = await errorOf(call(storage));
        expect(error.message).toMatch(
          new RegExp(
            `: this host's clock is (19|20)m \\d\\ds ${direction} the server's \\(RequestTimeTooSkewed, 403\\)$`,
          ),
        );
        expect(error.hint).toBe("set the clock: timedatectl set-ntp true");
        expect(error).toMatchObject({ code: "storage", retryable: false });
      }
      setSystemTime();
    }
  });

  test("doctor names the clock", async () => {
    setSystemTime(new Date(Date.now() + 20 * MINUTE_MS));
    const error = await errorOf(
      lookAtStorage(
        s3Config(lab, bucket),
        NOTHING_KNOWN,
        { clock: systemClock, config: { file: "" } },
        never,
      ),
    );
    expect(error.message).toContain("this host's clock is ");
    expect(error.hint).toBe("set the clock: timedatectl set-ntp true");
  });

  test.each(CALLS)("because the key is unknown: %s", async (_, call) => {
    const error = await errorOf(call(openS3(lab, bucket, { access_key_id: new Secret("nobody:nobody") })));
    expect(error.message).toEndWith(unknownKey);
    expect(error.hint).toContain("access_key_id");
  });

  test.each(CALLS)("because the secret is wrong: %s", async (_, call) => {
    const error = await errorOf(call(openS3(lab, bucket, { secret_access_key: new Secret("wrong-secret") })));
    expect(error.message).toEndWith(WRONG_SECRET);
    expect(error.hint).toContain("secret_access_key");
  });
});

const NOTHING_KNOWN = { configured: [], identities: [], installation: undefined, probes: [] };

describe("a HEAD that is refused", () => {
  test.each(CALLS)("because the key has no right to read: %s", async (_, call) => {
    const lab = await rgw();
    const bucket = await lab.makeBucket();
    await lab.client.send(new PutObjectCommand({ Bucket: bucket, Key: "refused", Body: "there" }));
    await deny(lab, bucket, "s3:GetObject");
    const error = await errorOf(call(openS3(lab, bucket)));
    expect(error.message).toEndWith(": access denied (AccessDenied, 403)");
    expect(error.hint).toContain("read, write, list and delete");
  });

  test.each(CALLS)("because the region is wrong, which Swift names: %s", async (_, call) => {
    const lab = await swift();
    const bucket = await lab.makeBucket();
    const error = await errorOf(call(openS3(lab, bucket, { region: "eu-west-9" })));
    expect(error.message).toEndWith(
      `: the bucket is in region "us-east-1" (AuthorizationHeaderMalformed, 400)`,
    );
    expect(error.hint).toContain("region");
  });

  test.each(CALLS)("with a redirect to another region, as AWS does it: %s", async (_, call) => {
    const lab = await rgw();
    await using proxy = startHttpProxy(lab.endpoint);
    const headers = { "x-amz-bucket-region": "eu-west-1", "content-type": "application/xml" };
    proxy.answer = async ({ method }) =>
      new Response(method === "HEAD" ? null : "<Error><Code>PermanentRedirect</Code></Error>", {
        status: 301,
        headers,
      });
    const error = await errorOf(call(openS3(lab, "bucket", { endpoint: proxy.endpoint })));
    expect(error.message).toEndWith(`: the bucket is in region "eu-west-1" (PermanentRedirect, 301)`);
  });

  test("by a server that gives no reason: the clock is still compared", async () => {
    const lab = await rgw();
    await using proxy = startHttpProxy(lab.endpoint);
    proxy.answer = async () =>
      new Response(null, {
        status: 403,
        headers: { date: new Date(Date.now() - 6 * MINUTE_MS).toUTCString() },
      });
    const error = await errorOf(openS3(lab, "bucket", { endpoint: proxy.endpoint }).head("refused", never));
    expect(error.message).toMatch(
      /: access denied \(403\), and this host's clock is 6m 0\ds ahead of the server's$/,
    );
    expect(error.hint).toStartWith(
      "set the clock: timedatectl set-ntp true; if the error persists: the key needs",
    );
  });
});
