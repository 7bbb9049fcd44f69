import { swift } from "../../lab/servers/s3.ts";
import { storageConformance } from "../../suites/storage-conformance.ts";
import { s3UnderTest } from "./under-test.ts";

storageConformance("s3 on OpenStack Swift", async () => s3UnderTest(await swift()));
