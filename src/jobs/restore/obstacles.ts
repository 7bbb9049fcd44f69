import { Pg321Error } from "../../base/errors.ts";
import { plural } from "../../base/text/amounts.ts";
import { shellOption } from "../../base/text/shell.ts";
import type { Endpoint } from "../../postgres/connection.ts";
import type { Need } from "../../postgres/restore/left-out.ts";
import { existsAlready, isRisk, type Lack } from "../../postgres/restore/preflight.ts";
import { isForeign, mayTerminateHint, sessionText } from "../../postgres/sessions.ts";
import type { Obstacle, RestoreReport, RestoreRequest } from "./report.ts";

/** At most this many lacking objects are named. */
const NEEDS_NAMED_MAX = 5;

export interface SeenTarget
  extends Pick<RestoreReport, "lacks" | "target_contents" | "dependents" | "sessions"> {
  readOnly: "standby" | "setting" | undefined;
  /** Whether the database that is to be created exists already. */
  exists: boolean;
  /** Selected tables and views that the target has already. */
  present: string[];
  needs: readonly Need[];
  /** Those of `adapt`. */
  others: readonly Obstacle[];
}

/** Everything that prevents a restore into this target; empty if nothing does. */
export function obstaclesOf(request: RestoreRequest, seen: SeenTarget): Obstacle[] {
  const { clean, intoExisting, terminate, keepGoing, selection, ownership } = request;
  const target = { ...request.target, user: ownership.role ?? request.target.user };
  const { label, database } = target;
  const { lacks, target_contents, dependents, sessions, readOnly, exists, present, needs, others } = seen;
  const obstacles: Obstacle[] = [];
  const add = (kind: Obstacle["kind"], message: string, hint: string) =>
    void obstacles.push({ kind, message: `${label}: ${message}; nothing was changed`, hint });
  const written = unwritable(target, readOnly);
  if (written) add("read-only", ...written);
  if (exists) {
    const { message, hint = "" } = existsAlready(target);
    obstacles.push({ kind: "exists", message, hint });
  }
  const created = rolesToCreate(request, lacks);
  const missing = lacks.filter(
    (lack) =>
      lack.kind !== "right" && !isRisk(lack) && !(lack.kind === "role" && created.includes(lack.name)),
  );
  if (missing.length > 0) add("lacks", lacksText(target, missing), hintsOf(missing));
  obstacles.push(...others);
  const rights = lacks.filter(({ kind }) => kind === "right");
  // With keepGoing, pg_restore reports it and goes on.
  if (rights.length > 0 && !keepGoing) add("rights", rightsText(target, rights), rightsHint(rights));
  if (dependents.length > 0)
    add(
      "dependents",
      `what --clean would drop has dependents that would not be restored: ${dependents.join(", ")}`,
      "drop or detach them first, or restore into a new database with --create and copy what you need from there",
    );
  const lasting = terminate ? sessions.filter((one) => isForeign(one) && !one.can_terminate) : [];
  if (lasting.length > 0)
    add(
      "sessions",
      `"${target.user}" may not end ${lasting.map(sessionText).join(", ")}`,
      mayTerminateHint(target.user),
    );
  // Of other restores pg_restore reports it, and some are meant to go on.
  if (present.length > 0 && selection.tables.length > 0 && intoExisting && !clean && !keepGoing)
    add(
      "exists",
      `${present.join(", ")} already ${present.length === 1 ? "exists" : "exist"}`,
      "replace what is there with --clean, or restore beside it with --create and copy the rows that you need",
    );
  const isBeside = selection.only === "data" || selection.intoSchema !== undefined;
  if (target_contents.length > 0 && !clean && !intoExisting && !isBeside)
    add(
      "contents",
      `database "${database}" is not empty (${target_contents.join(", ")})`,
      "restore into a new database with --create, replace what the backup holds with --clean, or add to it with --into-existing",
    );
  // With keepGoing, pg_restore reports it and goes on.
  if (needs.length > 0 && !keepGoing) add("needs", needsText(needs), needsHint(needs));
  return obstacles;
}

/** Why nothing can be written to a target, and what to do. */
function unwritable({ user }: Endpoint, readOnly: SeenTarget["readOnly"]): [string, string] | undefined {
  if (readOnly === "standby") return ["it is a standby, which is read-only", "restore into its primary"];
  if (readOnly === undefined) return undefined;
  return [
    `default_transaction_read_only is on for "${user}" there`,
    "turn it off for the role or the database, or restore as another role",
  ];
}

/** Throws code `database` if nothing can be written to the target. */
export function refuseReadOnly(target: Endpoint, readOnly: SeenTarget["readOnly"]): void {
  const written = unwritable(target, readOnly);
  if (written === undefined) return;
  const [why, hint] = written;
  throw new Pg321Error("database", `${target.label}: ${why}; nothing was changed`, { hint });
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

/** `it lacks role "a", extension "b"; role "pg321" is not a member of "c" and "d"`. */
function lacksText({ user }: Endpoint, missing: readonly Lack[]): string {
  const objects = missing.filter(({ kind }) => kind !== "membership");
  const owners = missing.filter(({ kind }) => kind === "membership").map(({ name }) => `"${name}"`);
  const last = owners.pop();
  const named = owners.length > 0 ? `${owners.join(", ")} and ${last}` : last;
  return [
    ...(objects.length > 0
      ? [`it lacks ${objects.map(({ kind, name }) => `${kind} "${name}"`).join(", ")}`]
      : []),
    ...(named === undefined ? [] : [`role "${user}" is not a member of ${named}`]),
  ].join("; ");
}

/** `it lacks type public.mood, which table public.person needs`. */
function needsText(needs: readonly Need[]): string {
  const shown = Map.groupBy(needs.slice(0, NEEDS_NAMED_MAX), ({ needed_by }) => needed_by);
  const named = [...shown].map(
    ([neededBy, all]) => `${all.map(({ name }) => name).join(", ")}, which ${neededBy} needs`,
  );
  const more = needs.length - NEEDS_NAMED_MAX;
  return `it lacks ${named.join("; ")}${more > 0 ? `; and ${plural(more, "more object")}` : ""}`;
}

/** The statements stand in lines of their own, to be pasted. */
function needsHint(needs: readonly Need[]): string {
  const options = needs.flatMap(({ table }) => (table === null ? [] : [shellOption("--table", table)]));
  // A terminal does not get the tabs with which pg_dump indents.
  const statements = needs.flatMap(
    ({ sql }) => sql?.replace(/^\t+/gm, (tabs) => "    ".repeat(tabs.length)) ?? [],
  );
  return [
    ...(options.length > 0 ? [`restore these too: ${options.join(" ")}`] : []),
    ...(statements.length > 0 ? [`run in psql, in the target database:\n${statements.join("\n")}`] : []),
  ].join("; ");
}

/** `role "low" may not restore event trigger evt, publication all_tables`. */
function rightsText({ user }: Endpoint, rights: readonly Lack[]): string {
  const named = rights.slice(0, NEEDS_NAMED_MAX).map(({ name }) => name);
  const more = rights.length - NEEDS_NAMED_MAX;
  return `role "${user}" may not restore ${named.join(", ")}${more > 0 ? `, and ${plural(more, "more object")}` : ""}`;
}

function rightsHint(rights: readonly Lack[]): string {
  return [...new Set(rights.map(({ hint }) => hint))].join("; ");
}

/** The statements stand in a line of their own, to be pasted. */
function hintsOf(missing: readonly Lack[]): string {
  const memberships = missing.filter(({ kind }) => kind === "membership");
  const others = missing.filter(({ kind, sql }) => sql === null && kind !== "membership");
  // Only a superuser can give objects to a superuser: the other memberships alone would not do.
  const needsSuperuser = memberships.some(({ sql }) => sql === null);
  const statements = missing
    .filter(({ kind }) => !needsSuperuser || kind !== "membership")
    .flatMap(({ sql }) => sql ?? []);
  const isRoleMissing = missing.some(({ kind }) => kind === "role");
  const instead = isRoleMissing
    ? " (or let --with-globals create the roles as they were, or --create-roles without login)"
    : "";
  // First, because a backup role that is a member of every owner could change everything.
  const asSuperuser = "restore as a superuser (on this host: as root with --as postgres)";
  const where =
    memberships.length > 0 && !needsSuperuser
      ? `${asSuperuser}, or run in psql as one`
      : "run in psql as a superuser";
  return [
    ...others.map(({ kind, name, hint }) => `${kind} "${name}": ${hint}`),
    ...(needsSuperuser ? [asSuperuser] : []),
    ...(statements.length > 0 ? [`${where}${instead}:\n${statements.join(" ")}`] : []),
  ].join("; ");
}
