import { Pg321Error } from "../../base/errors.ts";
import { system } from "../../install/host.ts";
import { quoteLiteral } from "../../postgres/archive/sql-text.ts";
import { connect, endpointOfUrl, hostOf } from "../../postgres/connection.ts";
import { READ_ALL_MAJOR, roleStatements } from "../../postgres/dump-rights.ts";
import type { Values } from "./answers.ts";

export interface MadeRole {
  /** The role existed: it only got the rights. */
  wasThere: boolean;
  /** The password that a new role got. */
  password?: string;
}

/** The version of the server, then whether it has the role. */
function factsQuery(role: string): string {
  return `select current_setting('server_version_num') || ' ' ||
    exists (select from pg_catalog.pg_roles where rolname = ${quoteLiteral(role)}) as facts`;
}

/** Whether the role exists. Throws code `database` for a server on which it could not read everything. */
function isThere(facts: string): boolean {
  const [version = "", answer] = facts.trim().split(" ");
  const major = Math.floor(Number(version) / 10_000);
  if (major >= READ_ALL_MAJOR) return answer === "true";
  throw new Pg321Error(
    "database",
    `PostgreSQL ${major} has no pg_read_all_data: only a superuser can dump everything`,
    {
      hint: "give pg321 a superuser: name it in the server's URL, postgres://SUPERUSER@HOST:PORT/postgres",
    },
  );
}

/** With a superuser's URL; a new role gets a random password. All statements take effect, or none. */
export async function makeRoleByUrl(url: string, role: string): Promise<MadeRole> {
  await using connection = await connect(endpointOfUrl(url, "superuser"));
  const [row] = await connection.run("look for the role", (sql) =>
    sql.unsafe<{ facts: string }[]>(factsQuery(role)),
  );
  const wasThere = isThere(row?.facts ?? "");
  const password = wasThere ? {} : { password: randomPassword() };
  const statements = roleStatements(role, { ...password, isThere: wasThere });
  await connection.run("make the role", (sql) => sql.unsafe(statements.join("\n")).simple());
  return { wasThere, ...password };
}

function randomPassword(): string {
  return Buffer.from(crypto.getRandomValues(new Uint8Array(24))).toString("base64url");
}

/** As an account of this host, by psql. All statements take effect, or none. */
export async function makeRoleAs(
  account: string,
  { server, port: usualPort }: { server: Values; port: number },
  role: string,
): Promise<MadeRole> {
  const port = Number(server["port"] ?? usualPort);
  const host = typeof server["host"] === "string" ? server["host"] : hostOf({ host: undefined, port });
  const group = await system("id", "-g", account);
  const as = ["setpriv", `--reuid=${account}`, `--regid=${group.trim()}`, "--init-groups"];
  const psql = ["psql", "-X", "-q", "-A", "-t", "-1", "-v", "ON_ERROR_STOP=1", "-d", "postgres"];
  const run = (statements: readonly string[]) =>
    system(
      ...["env", "-C", "/", ...as, ...psql, "-h", host, "-p", String(port)],
      ...statements.flatMap((statement) => ["-c", statement]),
    );
  const wasThere = isThere(await run([factsQuery(role)]));
  await run(roleStatements(role, { isThere: wasThere }));
  return { wasThere };
}
