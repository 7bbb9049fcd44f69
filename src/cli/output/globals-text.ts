import { plural } from "../../base/text/amounts.ts";
import { timeText } from "../../base/text/zoned-time.ts";
import { shortId } from "../../jobs/copies/object-key.ts";
import type { GlobalsReport } from "../../jobs/restore/with-globals.ts";
import type { Style } from "./output.ts";

/** What was created of the globals, or would be; passwords are never in it. */
export function globalsLines(globals: GlobalsReport | null, isDryRun: boolean, style: Style): string[] {
  if (globals === null) return [];
  const { backup_id, started_at, roles, statements, refused, skipped, without_password, tablespaces } =
    globals;
  const from = `from globals ${shortId(backup_id)} (${timeText(started_at)})`;
  const done = isDryRun ? "would create" : style.good("created");
  const count = plural(statements.length, "statement");
  const refusedText = `${plural(refused.length, "statement")} ${isDryRun ? "would not be" : "not"} run`;
  return [
    statements.length === 0
      ? refused.length === 0
        ? `the target has the roles and memberships that are needed (${from})`
        : `${isDryRun ? "would create" : "created"} no roles or memberships ${from}`
      : `${done} ${plural(roles.length, "role")} ${from}, in ${count}${isDryRun ? ":" : ""}`,
    ...(isDryRun ? statements : []),
    ...refused.map((one) => `${style.warn("not created")} ${one}`),
    ...skipped.map(({ statement, error }) => `${style.warn("failed")} ${statement} ${error}`),
    ...(refused.length > 0
      ? [
          style.warn(
            `the roles and memberships are incomplete: ${refusedText}; check the reasons, and run in psql what you want`,
          ),
        ]
      : []),
    ...(without_password.length > 0
      ? [
          `${style.warn("without password")} ${without_password.join(", ")}: the backup has no passwords; set them with \\password in psql`,
        ]
      : []),
    ...tablespaces.map(
      ({ name, sql }) =>
        `${style.warn("lacks")} tablespace ${name}: it needs a directory on the target's host, then: ${sql}`,
    ),
  ];
}
