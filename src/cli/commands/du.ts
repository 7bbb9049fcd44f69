import { visibleData } from "../../base/text/visible.ts";
import { timeTitle, wallTime } from "../../base/text/zoned-time.ts";
import { backupName } from "../../catalog/globals.ts";
import { openCatalog } from "../../catalog/open.ts";
import type { StoredBytes, StoredMonth } from "../../catalog/usage.ts";
import type { Command } from "../command.ts";
import { isSet, JSON_OPTION, textOption, UTC_OPTION } from "../command.ts";
import { commandConfig } from "../open-context.ts";
import { growthText, jsonText, type Style, sizeText, table } from "../output/output.ts";
import { integerOption } from "../parse.ts";
import { namesIn, PLACE_OPTIONS, placeOf, refuseUnknown, refuseUnknownStorage } from "../place-options.ts";

const MONTHS_DEFAULT = 6;
/** As long as the catalog keeps them. */
const MONTHS_MAX = 36;

export const command: Command = {
  usage: "",
  description:
    "Sums of the sizes in the catalog, the largest database first; asks no storage. GROWTH/MONTH is the average of the\n" +
    "last complete months. Manifests (a few KiB each) are not counted.",
  options: {
    ...PLACE_OPTIONS,
    storage: {
      type: "string",
      value: "NAME",
      help: "only copies in this storage",
      values: { live: ["storage"] },
    },
    months: {
      type: "string",
      value: "N",
      help: `how many months to look back, ${MONTHS_MAX} at most (default ${MONTHS_DEFAULT})`,
    },
    utc: UTC_OPTION,
    json: JSON_OPTION,
  },
  examples: [
    { command: "pg321 du", explanation: "every database in every storage, and the totals" },
    { command: "pg321 du -d app --months 12", explanation: "one database, and its growth over a year" },
  ],
  positionals: { min: 0, max: 0 },
  async run(invocation) {
    const { arguments: args, output, clock, log } = invocation;
    const config = await commandConfig(invocation, { setsAside: true });
    const range = { min: 1, max: MONTHS_MAX };
    const months = integerOption("du", "months", textOption(args, "months"), range) ?? MONTHS_DEFAULT;
    await using catalog = await openCatalog(config.catalog, { clock, log });
    const names = namesIn(args);
    const storage = textOption(args, "storage");
    const lookup = { catalog, clock, config };
    const place = await placeOf("du", names, lookup);
    if (storage !== undefined) await refuseUnknownStorage(storage, config, catalog);
    const filter = { ...place, ...(storage !== undefined && { storage }) };
    const now = clock.now();
    const stored = await catalog.usage.stored(filter, now);
    if (stored.length === 0) await refuseUnknown(names, lookup);
    const growth = new Map(
      (await catalog.usage.growth(filter, months, now)).map((one) => [keyOf(one), one.bytes_per_month]),
    );
    const rows = stored.map((one) => ({ ...one, growth_bytes_per_month: growth.get(keyOf(one)) ?? null }));
    const byMonth = await catalog.usage.months(filter, months, now);
    if (isSet(args, "json"))
      output.print(
        jsonText({ stored: rows, storages: byStorage(rows), total: totalOf(rows), months: byMonth }),
      );
    else if (rows.length === 0) output.print("no copies");
    else output.print(textOf(visibleData(rows), visibleData(byMonth), output.style));
    return 0;
  },
};

type Row = StoredBytes & { growth_bytes_per_month: number | null };
type Total = Pick<Row, "copies" | "bytes" | "hidden_bytes" | "growth_bytes_per_month">;

function keyOf({ server, database, storage }: Pick<Row, "server" | "database" | "storage">): string {
  return JSON.stringify([server, database, storage]);
}

function totalOf(rows: readonly Row[]): Total {
  const sum = (of: (row: Row) => number) => rows.reduce((total, row) => total + of(row), 0);
  const isKnown = rows.some(({ growth_bytes_per_month }) => growth_bytes_per_month !== null);
  return {
    copies: sum(({ copies }) => copies),
    bytes: sum(({ bytes }) => bytes),
    hidden_bytes: sum(({ hidden_bytes }) => hidden_bytes),
    growth_bytes_per_month: isKnown ? sum((row) => row.growth_bytes_per_month ?? 0) : null,
  };
}

function byStorage(rows: readonly Row[]): (Total & { storage: string })[] {
  return [...Map.groupBy(rows, ({ storage }) => storage)]
    .map(([storage, of]) => ({ storage, ...totalOf(of) }))
    .sort((one, other) => (one.storage < other.storage ? -1 : 1));
}

interface Line extends Total {
  name: string;
  storage: string;
  row?: Row;
}

function textOf(rows: readonly Row[], months: readonly StoredMonth[], style: Style): string {
  const totals = byStorage(rows);
  const all = { name: style.bold("total"), storage: "all", ...totalOf(rows) };
  const lines: Line[] = [
    ...rows.map((row) => ({ ...row, name: backupName(row), row })),
    ...totals.map((total) => ({ ...total, name: style.bold("total") })),
    ...(totals.length > 1 ? [all] : []),
  ];
  const hasHidden = rows.some(({ hidden_bytes }) => hidden_bytes > 0);
  const sizes = table(
    lines,
    [
      { title: "DATABASE", isName: true, cell: ({ name }) => name },
      { title: "STORAGE", isName: true, cell: ({ storage }) => storage },
      { title: "COPIES", cell: ({ copies }) => copies.toLocaleString("en"), align: "right" },
      { title: "STORED", cell: ({ bytes }) => sizeText(bytes), align: "right" },
      ...(hasHidden
        ? [{ title: "HIDDEN", cell: (line: Line) => sizeText(line.hidden_bytes), align: "right" as const }]
        : []),
      { title: "NEWEST COPY", cell: ({ row }) => (row ? sizeText(row.newest_bytes) : ""), align: "right" },
      {
        title: "GROWTH/MONTH",
        cell: ({ growth_bytes_per_month: growth }) => growthText(growth),
        align: "right",
      },
      {
        title: timeTitle("OLDEST", style),
        cell: ({ row }) => (row ? wallTime(row.oldest_started_at, style) : ""),
      },
      {
        title: timeTitle("NEWEST", style),
        cell: ({ row }) => (row ? wallTime(row.newest_started_at, style) : ""),
      },
    ],
    style,
  );
  return [sizes, ...(months.length === 0 ? [] : ["", monthTable(months, style)])].join("\n");
}

/** One column for each storage: what was stored at the end of the month, and the change in it. */
function monthTable(months: readonly StoredMonth[], style: Style): string {
  const storages = [...new Set(months.map(({ storage }) => storage))].sort();
  const rows = [...Map.groupBy(months, ({ month }) => month)];
  const cell = (found: readonly StoredMonth[]) => {
    const bytes = found.reduce((sum, one) => sum + one.bytes, 0);
    const isKnown = found.some(({ growth_bytes }) => growth_bytes !== null);
    const growth = found.reduce((sum, { growth_bytes }) => sum + (growth_bytes ?? 0), 0);
    return `${sizeText(bytes)}${isKnown ? ` (${growthText(growth)})` : ""}`;
  };
  return table(
    rows,
    [
      { title: "MONTH", cell: ([month]) => month },
      ...storages.map((storage) => ({
        title: storage,
        cell: ([, of]: [string, StoredMonth[]]) => cell(of.filter((one) => one.storage === storage)),
        align: "right" as const,
      })),
      ...(storages.length > 1
        ? [{ title: "all", cell: ([, of]: [string, StoredMonth[]]) => cell(of), align: "right" as const }]
        : []),
    ],
    style,
  );
}
