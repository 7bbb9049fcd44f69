import type { Config } from "../../config/config.ts";
import { restoreTestFor } from "../../config/database/settings.ts";
import type { ArchiveContents, ArchiveEntry } from "../../postgres/archive/format.ts";
import { quoteIdentifier } from "../../postgres/archive/sql-text.ts";
import type { Connection } from "../../postgres/connection.ts";
import type { LeftOutOfDump } from "../../postgres/counts/left-out.ts";
import type { ScratchPlan } from "../../postgres/scratch/prepare.ts";

interface Place {
  server: string;
  database: string;
}

/** `[restore_test]` with what the [[database]] tables add for one database. */
export function testConfigFor(config: Config, { server, database }: Place): Config["restore_test"] {
  const own = restoreTestFor(config, server, database);
  const general = config.restore_test;
  return {
    ...general,
    allowed_errors: [...general.allowed_errors, ...own.allowed_errors],
    check: [...general.check, ...own.check.map((one) => ({ ...one, databases: [`${server}/=${database}`] }))],
  };
}

/** The contents without the extensions that are not created for the test of a database. */
export function withoutSkipped(
  config: Config,
  { server, database }: Place,
  contents: ArchiveContents,
): { contents: ArchiveContents; skipped: ScratchPlan["left_out"] } {
  const { skip_extensions: names } = restoreTestFor(config, server, database);
  const isSkipped = ({ description, tag }: ArchiveEntry) =>
    (description === "EXTENSION" && names.includes(tag)) ||
    (description === "COMMENT" && names.some((name) => tag === `EXTENSION ${name}`));
  const skipped = contents.entries.filter(isSkipped);
  return {
    contents: { ...contents, entries: contents.entries.filter((entry) => !isSkipped(entry)) },
    skipped: skipped.map((entry) => ({ entry, reason: "restore_test.skip_extensions" })),
  };
}

/** A dump of chosen tables does not create their schemas. */
export async function makeSchemas(
  connection: Connection,
  contents: ArchiveContents,
  { owner, left }: { owner: string | null; left: LeftOutOfDump | undefined },
): Promise<void> {
  if (left?.settings["include_tables"] === undefined) return;
  const own = contents.entries.flatMap(({ description, tag }) => (description === "SCHEMA" ? tag : []));
  const named = new Set(contents.entries.flatMap(({ namespace }) => namespace ?? []));
  for (const schema of named) {
    if (own.includes(schema) || schema === "" || schema.startsWith("pg_")) continue;
    const to = owner === null ? "" : ` AUTHORIZATION ${quoteIdentifier(owner)}`;
    await connection.run(`create schema "${schema}"`, (sql) =>
      sql.unsafe(`CREATE SCHEMA IF NOT EXISTS ${quoteIdentifier(schema)}${to}`).simple(),
    );
  }
}
