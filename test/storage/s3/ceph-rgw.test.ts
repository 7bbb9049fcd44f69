import { systemClock } from "../../../src/base/clock.ts";
import { MIB } from "../../../src/base/limits.ts";
import { rateLimited } from "../../../src/storage/rate-limit.ts";
import { rgw } from "../../lab/servers/s3.ts";
import { storageConformance } from "../../suites/storage-conformance.ts";
import { s3UnderTest } from "./under-test.ts";

storageConformance("s3 on Ceph RGW", async () => s3UnderTest(await rgw(), { prefix: "backups/host one" }));
storageConformance("s3 on Ceph RGW with a rate_limit", async () => {
  const under = await s3UnderTest(await rgw());
  return { ...under, storage: rateLimited(under.storage, 200 * MIB, systemClock) };
});
