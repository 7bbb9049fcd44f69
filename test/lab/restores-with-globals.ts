import type { Sql } from "postgres";
import type { Installation } from "./installation.ts";
import type { PostgresAddress } from "./servers/postgres.ts";

/**
 * A backup of globals without passwords, and restores of a database that needs of them a role that can log in, a setting
 * that the target refuses, a membership in a role that has become a superuser, and a tablespace.
 */
export async function restoresWithGlobals(
  // biome-ignore lint/suspicious/noExplicitAny: tests read it freely.
  json: (...words: string[]) => Promise<any>,
  installation: Installation,
  connect: (database?: string) => Sql,
  { address, source, target }: { address: PostgresAddress; source: string; target: string },
): Promise<unknown[]> {
  const end = crypto.randomUUID().slice(0, 8);
  const [dumper, group, member, place] = ["dumper", "group", "member", "place"].map((one) => `${one}_${end}`);
  const [admin, sql] = [connect(), connect(source)];
  const makePlace = async () => {
    await using session = await reserved(admin);
    await session.sql.unsafe("set allow_in_place_tablespaces = on");
    await session.sql.unsafe(`create tablespace ${place} location ''`);
  };
  await makePlace();
  await admin.unsafe(
    `create role ${dumper} login bypassrls password 'x'; create role ${group}; create role ${member} login in role ${group};
     alter role ${member} set work_mem = '7MB';
     update pg_db_role_setting set setconfig = '{work_mem=nonsense}' where setrole = '${member}'::regrole`,
  );
  try {
    await sql.unsafe(
      `create table placed (i int) tablespace ${place}; alter table placed owner to ${member};
       grant select on placed to ${group}; grant select on all tables in schema public to ${dumper};
       grant select on all sequences in schema public to ${dumper}`,
    );
    await installation.configure({
      globals: true,
      postgres: { ...address, user: dumper ?? "", password: "x" },
    });
    const { backups } = await json("backup");
    await installation.configure({ globals: false, postgres: address });
    await sql.unsafe(`drop table placed; drop owned by ${dumper}`);
    await admin.unsafe(`drop role ${member}; alter role ${group} superuser`);
    await admin.unsafe(`drop tablespace ${place}`);
    const id = backups.find(({ database }: { database: string }) => database === source).backup_id;
    const words = ["restore", id, "--target", `main/${target}`, "--create", "--with-globals"];
    const dry = await json(...words, "--dry-run");
    await makePlace();
    return [dry, await json(...words)];
  } finally {
    await admin.unsafe(`drop database if exists ${target} with (force)`);
    await sql.unsafe(`drop table if exists placed; drop owned by ${dumper}`);
    await admin.unsafe(`drop role if exists ${member}; drop role ${group}; drop role ${dumper}`);
    await admin.unsafe(`drop tablespace if exists ${place}`);
  }
}

async function reserved(sql: Sql): Promise<{ sql: Sql } & AsyncDisposable> {
  const session = await sql.reserve();
  return { sql: session, [Symbol.asyncDispose]: async () => session.release() };
}
