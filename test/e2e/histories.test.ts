import { beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { History } from "../lab/history/history.ts";
import { rgw } from "../lab/servers/s3.ts";
import { usePostgres } from "../lab/servers/use-postgres.ts";

setDefaultTimeout(300_000);

/** `npm run campaign` lives through thousands of them. */
const ROUNDS = 40;

const postgres = usePostgres();
let database: string;
beforeAll(async () => {
  database = await postgres.createDatabase();
  await postgres
    .connect(database)
    .unsafe("create table t as select i, md5(i::text) from generate_series(1, 500) i");
});

test.each([
  [1, "directories"],
  [2, "directories"],
  [3, "a bucket"],
  [4, "a bucket"],
])("whatever happens, nothing is lost and nothing is claimed: history %d, in %s", async (seed, places) => {
  const lab = places === "a bucket" ? await rgw() : undefined;
  await using history = await History.begin({ seed, postgres: postgres.address, database, lab });
  await history.live(ROUNDS);
  expect({
    violations: history.violations,
    story: history.violations.length > 0 ? history.story : "",
  }).toEqual({
    violations: [],
    story: "",
  });
});
