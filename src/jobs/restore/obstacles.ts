import { Pg321Error } from "../../base/errors.ts";
import { plural } from "../../base/text/amounts.ts";
import type { Endpoint } from "../../postgres/connection.ts";
import { existsAlready, isRisk, type Lack } from "../../postgres/restore/preflight.ts";
import type { Obstacle, RestoreReport, RestoreRequest } from "./report.ts";

export interface SeenTarget extends Pick<RestoreReport, "lacks" | "target_contents" | "dependents"> {
  readOnly: "standby" | "setting" | undefined;
  /** Whether the database that is to be created exists already. */
  exists: boolean;
  /** Selected tables and views that the target has already. */
  present: string[];
}

/** Everything that prevents a restore into this target; empty if nothing does. */
export function obstaclesOf(request: RestoreRequest, seen: SeenTarget): Obstacle[] {
  const { target, clean, intoExisting, keepGoing, selection } = request;
  const { label, database } = target;
  const { lacks, target_contents, dependents, readOnly, exists, present } = seen;
  const obstacles: Obstacle[] = [];
  const add = (kind: Obstacle["kind"], message: string, hint: string) =>
    void obstacles.push({ kind, message: `${label}: ${message}; nothing was changed`, hint });
  if (readOnly === "standby")
    add("read-only", "it is a standby, which is read-only", "restore into its primary");
  if (readOnly === "setting") addSetting(target, add);
  if (exists) {
    const { message, hint = "" } = existsAlready(target);
    obstacles.push({ kind: "exists", message, hint });
  }
  const created = rolesToCreate(request, lacks);
  const missing = lacks.filter(
    (lack) => !isRisk(lack) && !(lack.kind === "role" && created.includes(lack.name)),
  );
  if (missing.length > 0) add("lacks", `it lacks ${namesOf(missing)}`, hintsOf(missing));
  if (dependents.length > 0)
    add(
      "dependents",
      `what --clean would drop has dependents that would not be restored: ${dependents.join(", ")}`,
      "drop or detach them first, or restore into a new database with --create and copy what you need from there",
    );
  // Of other restores pg_restore reports it, and some are meant to go on.
  if (present.length > 0 && selection.tables.length > 0 && intoExisting && !clean && !keepGoing)
    add(
      "exists",
      `${present.join(", ")} already ${present.length === 1 ? "exists" : "exist"}`,
      "replace what is there with --clean, or restore beside it with --create and copy the rows that you need",
    );
  if (target_contents.length > 0 && !clean && !intoExisting)
    add(
      "contents",
      `database "${database}" is not empty (${target_contents.join(", ")})`,
      "restore into a new database with --create, replace what the backup holds with --clean, or add to it with --into-existing",
    );
  return obstacles;
}

function addSetting(
  { user }: Endpoint,
  add: (kind: Obstacle["kind"], message: string, hint: string) => void,
): void {
  add(
    "read-only",
    `default_transaction_read_only is on for "${user}" there`,
    "turn it off for the role or the database, or restore as another role",
  );
}

/** The error of a restore that these obstacles prevent: the first one, and the number of the others. */
export function refusal([first, ...others]: readonly Obstacle[]): Pg321Error | undefined {
  if (first === undefined) return undefined;
  const more = others.length === 0 ? "" : `; --dry-run shows ${plural(others.length, "more obstacle")}`;
  return new Pg321Error("database", first.message, { hint: `${first.hint}${more}` });
}

export function rolesToCreate(
  request: Pick<RestoreRequest, "createRoles">,
  lacks: readonly Lack[],
): string[] {
  return request.createRoles ? lacks.filter(({ kind }) => kind === "role").map(({ name }) => name) : [];
}

function namesOf(missing: readonly Lack[]): string {
  return missing
    .map(({ kind, name }) => `${kind === "membership" ? "membership in role" : kind} "${name}"`)
    .join(", ");
}

/** The statements stand in a line of their own, to be pasted. */
function hintsOf(missing: readonly Lack[]): string {
  const others = missing.filter(({ sql }) => sql === null);
  const statements = missing.flatMap(({ sql }) => sql ?? []);
  const kinds = missing.map(({ kind }) => kind);
  const instead = kinds.includes("role") ? " (or let --create-roles create the roles, without login)" : "";
  // First, because a backup role that is a member of every owner could change everything.
  const asSuperuser =
    "restore as a superuser (on this host: as root with --as postgres), or run in psql as one";
  const where = kinds.includes("membership") ? asSuperuser : "run in psql as a superuser";
  return [
    ...others.map(({ kind, name, hint }) => `${kind} "${name}": ${hint}`),
    ...(statements.length > 0 ? [`${where}${instead}:\n${statements.join(" ")}`] : []),
  ].join("; ");
}
