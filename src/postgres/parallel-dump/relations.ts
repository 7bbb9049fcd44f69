import type { Connection } from "../connection.ts";
import type { SnapshotRelation } from "./plan.ts";

export interface DatabaseRelations {
  /** The encoding of the database: `UTF8`. */
  encoding: string;
  relations: SnapshotRelation[];
  /** Bytes of all large objects. */
  largeObjectBytes: number;
}

/** Reads all tables and sequences in the session's open transaction. */
export async function readRelations(connection: Connection): Promise<DatabaseRelations> {
  return await connection.run("list the relations", async (sql) => {
    const [database] = await sql<{ encoding: string; bytes: string }[]>`
      select getdatabaseencoding() as encoding, pg_table_size('pg_catalog.pg_largeobject')::text as bytes`;
    const rows = await sql<
      {
        oid: string;
        schema: string;
        name: string;
        filenode: string;
        owner: string | null;
        extension: string | null;
      }[]
    >`
      select c.oid::int8::text as oid, n.nspname as schema, c.relname as name, c.relfilenode::int8::text as filenode,
        (select d.refobjid::int8::text from pg_depend d
          where c.relkind = 'S' and d.classid = 'pg_class'::regclass and d.objid = c.oid and d.objsubid = 0
            and d.refclassid = 'pg_class'::regclass and d.deptype in ('a', 'i')
            and not exists (select from pg_depend e where e.classid = 'pg_class'::regclass
              and e.objid in (c.oid, d.refobjid) and e.deptype = 'e') limit 1) as owner,
        (select x.extname from pg_depend d join pg_extension x on x.oid = d.refobjid
          where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e'
            and d.refclassid = 'pg_extension'::regclass) as extension
      from pg_class c join pg_namespace n on n.oid = c.relnamespace
      where c.relkind in ('r', 'p', 'S')`;
    return {
      encoding: database?.encoding ?? "",
      largeObjectBytes: Number(database?.bytes ?? 0),
      relations: rows.map(({ oid, schema, name, filenode, owner, extension }) => ({
        ...{ oid: Number(oid), schema, name, filenode: Number(filenode) },
        owner: owner === null ? null : Number(owner),
        ...(extension !== null && { extension }),
      })),
    };
  });
}
