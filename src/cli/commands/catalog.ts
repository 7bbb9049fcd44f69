import { hostname } from "node:os";
import { dirname, resolve } from "node:path";
import { EXIT_CODES, Pg321Error } from "../../base/errors.ts";
import { Secret } from "../../base/secret.ts";
import { plural } from "../../base/text/amounts.ts";
import { type CopyReport, copyCatalog } from "../../catalog/copy/copy.ts";
import { type CopyPreview, previewCopy } from "../../catalog/copy/preview.ts";
import { catalogText } from "../../catalog/open.ts";
import { parseCatalogUrl, withoutPassword } from "../../config/catalog-url.ts";
import type { CatalogConfig } from "../../config/config.ts";
import { becomeStateOwner } from "../../install/state-owner.ts";
import type { JobProgress } from "../../jobs/progress.ts";
import type { Command, Invocation } from "../command.ts";
import { isSet, JSON_OPTION, PROGRESS_OPTIONS, textOption, UTC_OPTION } from "../command.ts";
import { commandConfig, progressFor } from "../open-context.ts";
import { jsonText, type Style, table } from "../output/output.ts";
import { refused } from "../refused-records.ts";

const PLACE = {
  type: "string",
  value: "URL",
  values: { paths: "files" },
} as const;

export const command: Command = {
  usage: "copy|refused [ack NUMBER|all]",
  description:
    "Copies every record of the catalog to another place: from a file into PostgreSQL, the other way, or between two of\n" +
    "a kind. URL is the path of a file, or postgres://HOST/DATABASE as in catalog.url; without --from or --to it is the\n" +
    "catalog of the config. Then both are compared, table by table. Nothing that is in the target is overwritten or\n" +
    "removed, and a copy that was interrupted goes on when you run the command again. Stop the service first.\n" +
    "refused lists the records of this host's spool that the catalog refused, newest first; ack acknowledges them, so that\n" +
    "status and doctor report them no longer. They stay in the spool.",
  options: {
    from: { ...PLACE, help: "the catalog to copy (default: that of the config)" },
    to: { ...PLACE, help: "a place without a catalog (default: that of the config)" },
    "dry-run": { type: "boolean", help: "show what would be copied; change nothing" },
    ...PROGRESS_OPTIONS,
    utc: UTC_OPTION,
    json: JSON_OPTION,
  },
  examples: [
    {
      command: "pg321 catalog copy --to postgres://pg321@db.example.com/pg321",
      explanation: "move the catalog from its file into a database; the password is in ~/.pgpass",
    },
    { command: "pg321 catalog refused", explanation: "records that the catalog refused after an outage" },
    { command: "pg321 catalog refused ack all", explanation: "acknowledge them" },
  ],
  positionals: {
    min: 1,
    max: 3,
    values: [{ words: ["copy", "refused"] }, { words: ["ack"] }, { words: ["all"] }],
  },
  async run(invocation) {
    const [action, extra] = invocation.arguments.positionals;
    if (action === "refused") return await refused(invocation);
    if (action !== "copy" || extra !== undefined)
      throw new Pg321Error(
        "usage",
        `catalog: unknown action "${action === "copy" ? `copy ${extra}` : action}"`,
        {
          hint: "usage: pg321 catalog copy --to URL, or pg321 catalog refused [ack NUMBER|all]",
        },
      );
    const { from, to } = await placesOf(invocation);
    try {
      return await copy(invocation, { from, to });
    } catch (error) {
      throw withOptions(error, invocation, { from, to });
    }
  },
};

async function copy(invocation: Invocation, { from, to }: Ends): Promise<number> {
  const { arguments: args, output, clock, log, signal } = invocation;
  const isJson = isSet(args, "json");
  if (isSet(args, "dry-run")) {
    const preview = await previewCopy({ from, to, clock });
    output.print(isJson ? jsonText(previewJson(preview)) : previewText(preview, output.style));
    return EXIT_CODES.ok;
  }
  const progress = progressFor(invocation);
  const titles = { copy: "copy the catalog", compare: "compare both catalogs" } as const;
  try {
    const report = await copyCatalog({
      ...{ from, to, clock, log, signal, host: hostname() },
      onProgress: (work, done, total) => progress.update(progressOf(titles[work], done, total)),
    });
    // Nothing is drawn over the report.
    for (const title of Object.values(titles)) progress.end(title);
    if (isJson) output.print(jsonText({ dry_run: false, target: null, ...report }));
    else if (!isSet(args, "quiet"))
      output.print(`${reportText(report, output.style)}\n\n${nextStep(report, to)}`);
  } finally {
    for (const title of Object.values(titles)) progress.end(title);
  }
  return EXIT_CODES.ok;
}

interface Ends {
  from: CatalogConfig;
  to: CatalogConfig;
}

/** Hints name the option that the URL came from, not the config. */
function withOptions(error: unknown, { arguments: args }: Invocation, ends: Ends): unknown {
  if (!(error instanceof Pg321Error) || error.hint === undefined) return error;
  const { code, message, hint, retryable, cause } = error;
  const option = (["to", "from"] as const).find(
    (end) => textOption(args, end) !== undefined && message.startsWith(`catalog ${catalogText(ends[end])}: `),
  );
  if (option === undefined) return error;
  const named = hint.replaceAll(/catalog\.(url|path)/g, `--${option}`);
  return new Pg321Error(code, message, { hint: named, retryable, cause });
}

/** Both ends. Root becomes the owner of the config's state directory, otherwise of the file's directory. */
async function placesOf(invocation: Invocation): Promise<Ends> {
  const [from, to] = [placeIn(invocation, "from"), placeIn(invocation, "to")];
  if (!from && !to)
    throw new Pg321Error("usage", "catalog copy: --from and --to are both missing", {
      hint: "name where the catalog of the config is copied to with --to, or what is copied into it with --from",
    });
  if (from && to) {
    const file = [from, to].flatMap((place) => (place.type === "sqlite" ? [place.path] : []))[0];
    if (file !== undefined) await becomeStateOwner(dirname(file), invocation.log);
    return { from, to };
  }
  const { catalog } = await commandConfig(invocation);
  return { from: from ?? catalog, to: to ?? catalog };
}

/** The URL may hold a password, so no message shows it. */
function placeIn({ arguments: args }: Invocation, option: "from" | "to"): CatalogConfig | undefined {
  const text = textOption(args, option);
  if (text === undefined) return undefined;
  if (/^postgres(ql)?:/i.test(text)) {
    if (parseCatalogUrl(text)) return { type: "postgres", url: new Secret(text) };
    throw new Pg321Error("usage", `catalog copy: --${option}: not a URL of a PostgreSQL database`, {
      hint: "write it as for catalog.url: postgres://USER@HOST:PORT/DATABASE?sslmode=verify-full",
    });
  }
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(text))
    throw new Pg321Error(
      "usage",
      `catalog copy: --${option}: neither a path nor a URL that begins with postgres://`,
      {
        hint: "name the file of a catalog in SQLite by its path",
      },
    );
  if (text === "") throw new Pg321Error("usage", `catalog copy: --${option} is empty`);
  return { type: "sqlite", path: resolve(text) };
}

function progressOf(title: string, done: number, total: number): JobProgress {
  return {
    ...{ title, bytes: done, expectedBytes: total, expectedFrom: "backup", unit: "records" },
    storages: new Map(),
  };
}

const OUTCOMES: Readonly<Record<CopyReport["outcome"], string>> = {
  copied: "copied",
  resumed: "copied, beginning where an interrupted copy had ended",
  started_over: "copied from the beginning, because the source had changed since the copy was begun",
  identical: "nothing to copy: both catalogs hold the same records",
};

function reportText(report: CopyReport, style: Style): string {
  const lines = table(
    report.tables,
    [
      { title: "TABLE", cell: ({ name }) => name },
      { title: "RECORDS", cell: ({ rows }) => rows.toLocaleString("en"), align: "right" },
      { title: "SHA-256 IN BOTH", cell: ({ sha256 }) => sha256.slice(0, 16) },
    ],
    style,
  );
  return [
    `from  ${report.from}`,
    `to    ${report.to}`,
    "",
    lines,
    "",
    `${OUTCOMES[report.outcome]}: ${plural(report.rows, "record")}, compared in both catalogs`,
    `sha256 ${report.sha256}`,
  ].join("\n");
}

function previewJson({ tables, ...preview }: CopyPreview) {
  const counted = tables.map((one) => ({ ...one, sha256: null }));
  return { dry_run: true, ...preview, outcome: null, tables: counted, sha256: null, daemons: [] };
}

const TARGETS: Readonly<Record<CopyPreview["target"], string>> = {
  new: "there is no catalog yet: it would be created",
  empty: "a catalog without records, which would be filled",
  unfinished: "an unfinished copy, which would be finished",
  identical: "holds the same records already: nothing would be copied",
};

function previewText(preview: CopyPreview, style: Style): string {
  const lines = table(
    preview.tables,
    [
      { title: "TABLE", cell: ({ name }) => name },
      { title: "RECORDS", cell: ({ rows }) => rows.toLocaleString("en"), align: "right" },
    ],
    style,
  );
  return [
    `from  ${preview.from}`,
    `to    ${preview.to}: ${TARGETS[preview.target]}`,
    "",
    lines,
    "",
    `${plural(preview.rows, "record")}; nothing was changed`,
  ].join("\n");
}

function urlLines(url: Secret): string {
  const text = url.reveal();
  const shown = withoutPassword(text);
  return `url = ${JSON.stringify(shown)}${shown === text ? "" : ", with the password of the role"}`;
}

function nextStep({ daemons }: CopyReport, to: CatalogConfig): string {
  if (daemons.length > 0)
    return `warning: daemons still use the source (${daemons.join(", ")}): their later records are not in the copy. To move the catalog, stop them, remove this copy and make it again`;
  const [where, lines] =
    to.type === "sqlite"
      ? ["the config of the one host that has this file", `path = ${JSON.stringify(to.path)}, and no url`]
      : ["the config of every host", urlLines(to.url)];
  return `next: in ${where}, set ${lines}, under [catalog]; then restart the service: systemctl restart pg321`;
}
