/**
 * `npm run campaign [-- --seed N --rounds N --histories N --story]`: runs random histories (see
 * `test/lab/history/history.ts`) on its own real servers, alternately with directories only and with a bucket. Prints
 * the result of each, and the story of a history in which something was lost or falsely claimed; exit 1 then.
 * `--rounds`: steps of each history.
 */
import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { History } from "../test/lab/history/history.ts";
import { connectTo, type PostgresAddress, startPostgres } from "../test/lab/servers/postgres.ts";
import { startRgw } from "../test/lab/servers/s3.ts";

const { values } = parseArgs({
  options: {
    seed: { type: "string", default: "1" },
    rounds: { type: "string", default: "100" },
    histories: { type: "string", default: "10" },
    /** Print the steps of every history. */
    story: { type: "boolean", default: false },
  },
});

const DATABASE = "campaign";

async function campaign(): Promise<boolean> {
  await using servers = new AsyncDisposableStack();
  const { address } = servers.use(await startPostgres());
  const lab = servers.use(await startRgw());
  await execute(address, "postgres", `create database ${DATABASE}`);
  await execute(address, DATABASE, "create table t as select i, md5(i::text) from generate_series(1, 500) i");

  const [first, histories, rounds] = [values.seed, values.histories, values.rounds].map(Number) as [
    number,
    number,
    number,
  ];
  const total: Record<string, number> = {};
  let steps = 0;
  let violated = 0;
  for (let seed = first; seed < first + histories; seed++) {
    const options = { seed, postgres: address, database: DATABASE, lab: seed % 2 === 0 ? lab : undefined };
    await using history = await History.begin(options);
    await history.live(rounds);
    for (const [step, count] of Object.entries(history.counts)) {
      total[step] = (total[step] ?? 0) + count;
      steps += count;
    }
    const isWrong = history.violations.length > 0;
    if (isWrong) violated++;
    console.log(
      `seed ${seed} (${seed % 2 === 0 ? "with a bucket" : "directories"}): ${history.violations[0] ?? "nothing lost, no false claim"}`,
    );
    if (isWrong || values.story) console.log(history.story);
  }
  console.log(
    Object.entries(total)
      .map(([step, count]) => `${count} ${step}`)
      .join(", "),
  );
  console.log(`${histories} histories, ${steps} steps, ${violated} with a violation`);
  return violated === 0;
}

async function execute(address: PostgresAddress, database: string, statement: string): Promise<void> {
  const sql = connectTo(address, database);
  await sql.unsafe(statement).finally(() => sql.end());
}

const directory = await mkdtemp(join(tmpdir(), "pg321-campaign-"));
await chmod(directory, 0o1777);
process.env["TMPDIR"] = directory;
try {
  process.exitCode = (await campaign()) ? 0 : 1;
} finally {
  await rm(directory, { recursive: true, force: true });
}
