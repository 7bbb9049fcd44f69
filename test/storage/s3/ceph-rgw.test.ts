import { rgw } from "../../lab/servers/s3.ts";
import { storageConformance } from "../../suites/storage-conformance.ts";
import { s3UnderTest } from "./under-test.ts";

storageConformance("s3 on Ceph RGW", async () => s3UnderTest(await rgw(), { prefix: "backups/host one" }));
