import { randomUUID } from "node:crypto";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Sql } from "postgres";
import { manifestKey, objectKey } from "../../../src/jobs/copies/object-key.ts";
import { quoteQualified } from "../../../src/postgres/archive/sql-text.ts";
import { pgDumpFor } from "../../../src/postgres/binaries.ts";
import type { ContainerMember } from "../../../src/sealed/container/format.ts";
import { interleave } from "../../../src/sealed/container/interleave.ts";
import { encodeManifest } from "../../../src/sealed/manifest.ts";
import { seal } from "../../../src/sealed/seal.ts";
import { readSigningKey } from "../../../src/sealed/signing-key.ts";
import { inBlocks } from "../../../src/stream/blocks.ts";
import { BufferPool } from "../../../src/stream/buffer-pool.ts";
import { blockPool, compress } from "../../../src/stream/compression.ts";
import { metered, newMeter } from "../../../src/stream/meter.ts";
import { readChild } from "../../../src/stream/process.ts";
import type { Installation } from "../installation.ts";
import type { PostgresAddress } from "../servers/postgres.ts";

/** Dumps of several streams, made by stock pg_dump and put into the storages as another pg321 would have left them. */

/** All archives of a database, in one snapshot: the schema, and its tables and sequences in `streams` archives. */
export async function dumpStreams(
  sql: Sql,
  address: PostgresAddress,
  database: string,
  streams: number,
): Promise<[name: string, bytes: Buffer][]> {
  const { path } = await pgDumpFor(15, undefined);
  return await sql.begin("isolation level repeatable read", async (session) => {
    const [exported] = await session<{ id: string }[]>`select pg_export_snapshot() as id`;
    const relations = await session<{ schema: string; name: string }[]>`
      select nspname as schema, relname as name from pg_class c join pg_namespace n on n.oid = relnamespace
      where relkind in ('r', 'S') and nspname !~ '^pg_|^information_schema$' order by pg_table_size(c.oid) desc`;
    const dump = async (...options: string[]) => {
      const argv = [
        path,
        "--format=custom",
        "--compress=0",
        `--snapshot=${exported?.id}`,
        ...options,
        database,
      ];
      const { port, user, password } = address;
      const env = {
        PGHOST: "127.0.0.1",
        PGPORT: String(port),
        PGUSER: user,
        PGPASSWORD: password,
        PATH: "/usr/bin",
      };
      const pool = new BufferPool(1 << 20, 2);
      const pieces: Buffer[] = [];
      for await (const block of readChild({ argv, env }, pool)) {
        pieces.push(Buffer.from(block));
        pool.release(block);
      }
      return Buffer.concat(pieces);
    };
    const archives: [string, Buffer][] = [
      ["schema", await dump("--section=pre-data", "--section=post-data")],
      ["data-0", await dump("--section=data", "--exclude-table=*.*")],
    ];
    for (let i = 0; i < streams; i++) {
      const own = relations.filter((_, at) => at % streams === i);
      const patterns = own.map(({ schema, name }) => `--table=${quoteQualified(schema, name)}`);
      archives.push([`data-${i + 1}`, await dump("--section=data", ...patterns)]);
    }
    return archives;
  });
}

/** The archives as members of a container that is read in pieces of this many bytes. */
export async function* membersOf(
  archives: readonly (readonly [name: string, bytes: Buffer])[],
  pieceBytes = 100_000,
): AsyncGenerator<ContainerMember> {
  for (const [i, [name, bytes]] of archives.entries()) {
    const pieces = async function* () {
      for (let at = 0; at < bytes.length; at += pieceBytes) yield bytes.subarray(at, at + pieceBytes);
    };
    yield { name, kind: i === 0 ? "schema" : "data", bytes: pieces() };
  }
}

export interface Planting {
  database: string;
  membersAtOnce?: number;
  /** Instead of the container of the archives. */
  container?: (whole: Buffer) => Buffer;
  encryption?: "age" | "none";
}

/** Leaves a backup of the archives in each storage, and lets the installation adopt it. Returns its id. */
export async function plantStreams(
  installation: Installation,
  storages: readonly string[],
  archives: readonly (readonly [name: string, bytes: Buffer])[],
  { database, membersAtOnce = 3, container = (whole) => whole, encryption = "age" }: Planting,
): Promise<string> {
  const key = readSigningKey(await readFile(join(installation.directory, "signing.key"), "utf8"));
  const whole = Buffer.concat(await Array.fromAsync(interleave(membersOf(archives), { membersAtOnce })));
  const dump = container(whole);
  const backup_id = randomUUID();
  const startedAt = new Date();
  const names = {
    ...{ installation: key.installation, server: "main", database, backup_id, kind: "dump" as const },
    ...{ started_at: startedAt.toISOString(), compression: "zstd" as const },
  };
  const blocks = blockPool();
  const settings = { algorithm: "zstd" as const, level: 1 };
  const compressed = compress(inBlocks(streamOf(dump), blocks), settings, blocks);
  const options = { recipients: [installation.recipient], signingKey: key, version: 2 as const };
  const meter = newMeter();
  const stored = encryption === "age" ? seal(compressed, names, options) : compressed;
  const object = Buffer.concat(await Array.fromAsync(metered(stored, meter)));
  const object_key = objectKey({
    ...{ server: "main", database, kind: "dump", backupId: backup_id, startedAt },
    ...{ compression: "zstd", isSealed: encryption === "age" },
  });
  const manifest = encodeManifest(
    {
      ...names,
      ...{ finished_at: startedAt.toISOString(), object_key, object_bytes: meter.bytes },
      ...{ object_sha256: meter.sha256 ?? "", dump_bytes: dump.length, encryption },
      ...{ server_version: "15.14", pg_dump_version: "15.14", pg321_version: "0.1.0", previous_id: null },
    },
    key,
  );
  for (const storage of storages) {
    const file = join(installation.directory, storage, object_key);
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, object);
    await writeFile(manifestKey(file), manifest);
  }
  await installation.ok("cleanup", "--adopt");
  return backup_id;
}

async function* streamOf(bytes: Buffer): AsyncGenerator<Uint8Array> {
  yield bytes;
}
