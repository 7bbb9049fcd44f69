import { Installation, localStorage, s3Storage } from "../test/lab/installation.ts";
import { connectTo, startPostgres } from "../test/lab/servers/postgres.ts";
import { startRgw } from "../test/lab/servers/s3.ts";

/** An installation with one small database, a disk and a bucket on a real S3 server. `more`: of its config. */
export async function smallInstallation(
  more?: string,
): Promise<AsyncDisposable & { installation: Installation }> {
  await using stack = new AsyncDisposableStack();
  const postgres = stack.use(await startPostgres());
  const s3 = stack.use(await startRgw());
  const admin = connectTo(postgres.address, "postgres");
  await admin`create database small`;
  await admin.end();
  const sql = connectTo(postgres.address, "small");
  await sql`create table t as select i, md5(i::text) from generate_series(1, 2000) i`;
  await sql.end();
  const bucket = await s3.makeBucket();
  const installation = stack.use(
    await Installation.make({
      postgres: postgres.address,
      databases: ["small"],
      storages: (directory) => [localStorage("disk", directory), s3Storage("bucket", s3, bucket)],
      ...(more !== undefined && { more }),
    }),
  );
  const owned = stack.move();
  return { installation, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}
