import { beforeAll, expect, test } from "bun:test";
import { GroupedSnapshots } from "../../src/jobs/backup/snapshot-group.ts";
import type { Target } from "../../src/jobs/backup/targets.ts";
import type { JobContext } from "../../src/jobs/context.ts";
import { LOCAL } from "../fixtures/config-file.ts";
import { endpointLab } from "../lab/endpoint.ts";
import { usePostgres } from "../lab/servers/use-postgres.ts";

/** Which dumps of a server with `group = "consistent"` are of one moment, over the attempts and rounds of a run. */

const postgres = usePostgres();
let names: string[];

beforeAll(async () => {
  names = [await postgres.createDatabase(), await postgres.createDatabase(), await postgres.createDatabase()];
});

function lab() {
  const { user, password, host, port } = { host: "127.0.0.1", ...postgres.address };
  const server = `[[server]]\nname = "main"\nhost = ${JSON.stringify(host)}\nport = ${port}\nuser = ${JSON.stringify(user)}\npassword = ${JSON.stringify(password)}\ndatabases = ["*"]\ngroup = "consistent"\n`;
  return endpointLab({ parts: server + LOCAL });
}

const targets = ({ config }: JobContext, databases: readonly string[]): Target[] =>
  config.server.flatMap((server) => databases.map((database) => ({ server, database })));

/** The warnings of the databases, each dumped once. */
async function attempt(grouped: GroupedSnapshots, all: readonly Target[]): Promise<(string | undefined)[]> {
  for (const target of all) await grouped.take(target)?.[Symbol.asyncDispose]();
  return all.map((target) => grouped.warningOf(target));
}

const REPEATED = "not of one moment with the other databases of the server: the dump was repeated";

test("the second dump of a database in one round", async () => {
  await using made = await lab();
  const all = targets(made.context, names);
  await using grouped = await GroupedSnapshots.open(made.context, all);
  expect(await attempt(grouped, all)).toEqual([undefined, undefined, undefined]);
  await attempt(grouped, all.slice(0, 1));
  expect(all.map((target) => grouped.warningOf(target))).toEqual([REPEATED, undefined, undefined]);
});

test("a round of some, or of one, but not of all", async () => {
  await using made = await lab();
  const all = targets(made.context, names);
  const seen = new Map<string, Set<string>>();
  const round = async (some: readonly Target[]) => {
    await using grouped = await GroupedSnapshots.open(made.context, some, seen);
    return await attempt(grouped, some);
  };
  expect(await round(all)).toEqual([undefined, undefined, undefined]);
  expect(await round(all)).toEqual([undefined, undefined, undefined]);
  expect(await round(all.slice(1))).toEqual([REPEATED, REPEATED]);
  expect(await round(all.slice(2))).toEqual([REPEATED]);
});

test("a database that could not begin with the others, because its hook failed, was not repeated", async () => {
  await using made = await lab();
  const all = targets(made.context, names);
  const seen = new Map<string, Set<string>>();
  const round = async (some: readonly Target[]) => {
    await using grouped = await GroupedSnapshots.open(made.context, some, seen);
    return await attempt(grouped, some);
  };
  const later =
    "not of one moment with the other databases of the server: its backup could not begin together with theirs";
  expect(await round(all.slice(0, 2))).toEqual([undefined, undefined]);
  expect(await round(all.slice(1))).toEqual([REPEATED, later]);
  // From then on it is one that was dumped before.
  expect(await round(all.slice(2))).toEqual([REPEATED]);
});

test("a single database is never apart from others", async () => {
  await using made = await lab();
  const [one] = targets(made.context, names);
  if (!one) throw new Error("expected a target");
  const seen = new Map<string, Set<string>>();
  for (let round = 0; round < 2; round++) {
    await using grouped = await GroupedSnapshots.open(made.context, [one], seen);
    expect(await attempt(grouped, [one, one])).toEqual([undefined, undefined]);
  }
});
