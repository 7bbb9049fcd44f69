import { beforeAll } from "bun:test";
import { quoteIdentifier } from "../../src/postgres/archive/sql-text.ts";
import { endpointOfUrl } from "../../src/postgres/connection.ts";
import { fillSampleDatabase } from "../lab/data/sample-database.ts";
import type { PostgresForTests } from "../lab/servers/use-postgres.ts";
import { dumpToMemory } from "./dumping.ts";

/** A small sample database with its own properties, and its dump; made once for a test file. */
export function useSampleDump(
  lab: PostgresForTests,
  temp: { readonly path: string },
): { readonly name: string; readonly dump: Buffer } {
  const sample: { name: string; dump: Buffer } = { name: "", dump: Buffer.alloc(0) };
  beforeAll(async () => {
    sample.name = await lab.createDatabase(`Sample "${crypto.randomUUID().slice(0, 8)}"`);
    await fillSampleDatabase(lab.connect(sample.name), 0.02);
    const database = quoteIdentifier(sample.name);
    const properties = `
      alter database ${database} owner to sample_owner;
      comment on database ${database} is 'DATABASE "it''s"';
      alter database ${database} set work_mem to '5MB';
      alter database ${database} connection limit 50;
      alter role sample_owner in database ${database} set search_path to shop, public;
      revoke temporary on database ${database} from public;
      grant connect on database ${database} to "Sample Reader"`;
    await lab.connect().unsafe(properties).simple();
    sample.dump = await dumpToMemory(endpointOfUrl(lab.url(sample.name)), temp.path);
  });
  return sample;
}
