import { Pg321Error } from "../../base/errors.ts";
import { catalogText } from "../open.ts";
import { type CopyRequest, judgeTarget, requireSource } from "./copy.ts";
import { refuseSamePlace } from "./judge.ts";
import { sharedTables } from "./place.ts";
import { requireRights } from "./rights.ts";

export interface CopyPreview {
  /** Places without a login. */
  from: string;
  to: string;
  /** What is in the target: nothing at all, a catalog without records, a part of the copy, or all of it. */
  target: "new" | "empty" | "unfinished" | "identical";
  tables: { name: string; rows: number }[];
  rows: number;
}

/** What a copy would do; changes nothing. Throws what the copy would be refused with, except for a daemon in its way. */
export async function previewCopy({
  from,
  to,
  clock,
}: Pick<CopyRequest, "from" | "to" | "clock">): Promise<CopyPreview> {
  await refuseSamePlace(from, to, clock);
  await using source = await requireSource(from, clock);
  if (!source.isCurrent)
    throw new Pg321Error(
      "usage",
      `${source.label}: written by an older pg321, so its records cannot be counted without changing it`,
      {
        hint: "without --dry-run, the copy first upgrades the source, as every command does with the catalog of its config",
      },
    );
  const { state } = await judgeTarget({ to, clock }, source);
  if (state !== "identical") await requireRights(to, clock);
  const tables: CopyPreview["tables"] = [];
  for (const table of await sharedTables(source, { kind: to.type }))
    tables.push({ name: table.name, rows: await source.count(table) });
  const rows = tables.reduce((sum, table) => sum + table.rows, 0);
  return { from: catalogText(from), to: catalogText(to), target: state, tables, rows };
}
