import { messageOf, Pg321Error } from "../base/errors.ts";
import type { Config } from "../config/config.ts";
import { OFF } from "../config/cron.ts";
import { testPlaces } from "../jobs/scratch/test-server.ts";
import { findServerPrograms } from "../postgres/cluster/programs.ts";
import { connect } from "../postgres/connection.ts";
import { inspectServer } from "../postgres/inspect.ts";
import { installCommand } from "../postgres/packages.ts";
import type { Seen } from "./finding.ts";
import { failed, ok, warning } from "./finding.ts";

/**
 * Whether restore tests can be carried out; empty if nobody asked for them. `majors`: the versions of the servers that
 * are backed up, as far as they answered.
 */
export async function lookAtRestoreTests(config: Config, majors: readonly number[]): Promise<Seen[]> {
  const { server } = config.restore_test;
  const isScheduled =
    config.schedule.restore_test !== OFF ||
    config.schedule.override.some((one) => one.restore_test !== undefined);
  if (server === "throwaway") return isScheduled ? await lookAtPrograms(config, majors) : [];
  const seen: Seen[] = [];
  for (const place of testPlaces({ config })) {
    const endpoint = place.endpoint(place.maintenanceDatabase);
    try {
      await using connection = await connect(endpoint);
      const facts = await inspectServer(connection);
      const [row] = await connection.run(
        "read the rights of the role",
        (sql) => sql<{ may_create: boolean }[]>`
          select rolcreatedb or rolsuper as may_create from pg_roles where rolname = current_user`,
      );
      if (row?.may_create)
        seen.push(
          ok(`${endpoint.label}: PostgreSQL ${facts.version}, "${endpoint.user}" may create databases`),
        );
      else
        seen.push(
          failed(
            "database",
            `${endpoint.label}: "${endpoint.user}" may not create databases, so no restore can be tested there`,
            `ALTER ROLE "${endpoint.user}" CREATEDB;`,
          ),
        );
    } catch (error) {
      const hint = error instanceof Pg321Error ? (error.hint ?? null) : null;
      seen.push(failed("database", messageOf(error), hint));
    }
  }
  return seen;
}

async function lookAtPrograms(config: Config, majors: readonly number[]): Promise<Seen[]> {
  const binDirs = config.server.flatMap(({ bin_dir }) => bin_dir ?? []);
  const found = await findServerPrograms(binDirs);
  const newest = Math.max(0, ...majors);
  const install = (major: number) =>
    `${installCommand("server", major || 15)}, or name another server in restore_test.server`;
  if (found.length === 0)
    return [
      failed(
        "database",
        "no PostgreSQL server package here (initdb and postgres), which a throwaway cluster needs",
        install(newest),
      ),
    ];
  const versions = found.map(({ version }) => version).join(", ");
  const missing = majors.filter((major) => !found.some((one) => one.major >= major));
  if (missing.length > 0)
    return [
      warning(
        `the newest server package here is ${versions}, older than a server that is backed up (${newest}): a restore may fail for that alone`,
        install(newest),
      ),
    ];
  return [ok(`a throwaway cluster can be made: PostgreSQL ${versions}`)];
}
