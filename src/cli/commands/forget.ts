import { createInterface } from "node:readline/promises";
import { Pg321Error } from "../../base/errors.ts";
import { plural } from "../../base/text/amounts.ts";
import { shellOption } from "../../base/text/shell.ts";
import { backupWord } from "../../base/text/states.ts";
import { visible, visibleData } from "../../base/text/visible.ts";
import { backupName, GLOBALS_DATABASE, serverOfGlobals } from "../../catalog/globals.ts";
import type { OutlineFilter } from "../../catalog/outlines.ts";
import { type DeletedBackups, deleteBackups } from "../../jobs/cleanup/delete-backup.ts";
import type { JobContext } from "../../jobs/context.ts";
import { findDatabase } from "../../jobs/copies/find-database.ts";
import { shortId } from "../../jobs/copies/object-key.ts";
import { LongList } from "../../jobs/long-list.ts";
import type { Arguments, Command, Invocation } from "../command.ts";
import { isSet, JSON_OPTION, textOption } from "../command.ts";
import { commandContext } from "../open-context.ts";
import { printDeletion } from "../output/deletion-text.ts";
import { sizeText } from "../output/output.ts";

export const command: Command = {
  usage: "DATABASE|-d DATABASE",
  description:
    "Lists the backups, asks for the database's name, then deletes all copies of these backups, and their records.\n" +
    "DATABASE is a name, or SERVER/NAME if several servers have it. 'SERVER (globals)' are the globals of a server of which\n" +
    "no dump is left. Exit 3 if a copy could not be deleted.",
  options: {
    database: {
      type: "string",
      short: "d",
      value: "NAME",
      help: "the same as DATABASE",
      values: { live: ["database"] },
    },
    yes: {
      type: "string",
      value: "NAME",
      help: "the database's name once more, to confirm without being asked",
    },
    json: JSON_OPTION,
  },
  examples: [{ command: "pg321 forget old_shop --yes old_shop", explanation: "from a script" }],
  positionals: { min: 0, max: 1, values: [{ live: ["database"] }] },
  async run(invocation) {
    const { arguments: args, output } = invocation;
    const name = nameIn(args);
    await using context = await commandContext(invocation);
    const backups = await backupsOf(context, name);
    await using _ = backups.ids;
    for await (const line of linesOf(context, backups)) output.note(line);
    const answer = textOption(args, "yes") ?? (await ask(invocation, name));
    if (answer !== name)
      throw new Pg321Error("usage", `forget: "${answer}" is not "${name}"; nothing was deleted`);
    const report = await deleteBackups(context, backups, "forget");
    return await printDeletion(report, output, isSet(args, "json"));
  },
};

/** The name, which is given once: as an argument or with `-d`. */
function nameIn(args: Arguments): string {
  const [name, other] = [...args.positionals, ...[textOption(args, "database") ?? []].flat()];
  if (name === undefined || other !== undefined)
    throw new Pg321Error(
      "usage",
      `forget: ${name === undefined ? "the name of a" : "one"} database is needed`,
      {
        hint: "usage: pg321 forget DATABASE",
      },
    );
  return name;
}

/** What is asked about is what will be deleted, so all of it is remembered: as little of each backup as possible. */
interface AskedAbout extends DeletedBackups {
  ids: LongList<string>;
}

async function backupsOf(context: JobContext, name: string): Promise<AskedAbout> {
  const globals = await globalsNamed(context, name);
  if (globals) return globals;
  const { server, database } = await findDatabase(context, name);
  const found = await allOf(context, name, { database, ...(server !== undefined && { server }) });
  if (found) return found;
  throw new Pg321Error("usage", `forget: there is no backup of a database "${name}"`, {
    hint: "pg321 list shows the backups",
  });
}

/**
 * The globals that lists show as `main (globals)`. Throws code `usage` while a dump of their server is left, which cannot
 * be restored well without them.
 */
async function globalsNamed(context: JobContext, name: string): Promise<AskedAbout | undefined> {
  const { catalog } = context;
  const server = serverOfGlobals(name);
  if (server === undefined) return undefined;
  const [isDatabase] = await catalog.backups({ database: name, limit: 1 });
  if (isDatabase) return undefined;
  const globals = await allOf(context, name, { server, database: GLOBALS_DATABASE });
  if (!globals) return undefined;
  const [dump] = await catalog.backups({ server, kind: "dump", limit: 1 });
  if (!dump) return globals;
  await globals.ids[Symbol.asyncDispose]();
  throw new Pg321Error(
    "usage",
    `forget: the globals of ${server} belong to its dumps, such as ${shortId(dump.id)} of ${backupName(dump)}`,
    { hint: `forget every database of ${server} first; pg321 list shows the backups` },
  );
}

/** Newest first; undefined if there is none. Throws code `usage` if several servers have such a database. */
async function allOf(
  context: JobContext,
  name: string,
  filter: OutlineFilter,
): Promise<AskedAbout | undefined> {
  await using opened = new AsyncDisposableStack();
  const ids = opened.use(new LongList<string>(context));
  const places = new Map<string, Pick<AskedAbout, "server" | "database">>();
  for await (const page of context.catalog.outlines({ ...filter, isAny: true })) {
    for (const { server, database } of page) places.set(`${server}/${database}`, { server, database });
    await ids.push(...page.map(({ id }) => id));
  }
  if (places.size > 1)
    throw new Pg321Error("usage", `forget: "${name}" is ambiguous: ${[...places.keys()].join(", ")}`, {
      hint: "write it as SERVER/DATABASE",
    });
  const [place] = places.values();
  if (!place) return undefined;
  opened.move();
  return { ...place, ids };
}

async function* linesOf(context: JobContext, backups: AskedAbout): AsyncGenerator<string> {
  let bytes = 0;
  for await (const id of backups.ids)
    for (const copy of await presentCopies(context, id)) bytes += copy.object_bytes ?? 0;
  const count = plural(backups.ids.length, "backup");
  yield visible(`${backupName(backups)}: ${count}, ${sizeText(bytes)} in all storages:`);
  for await (const id of backups.ids) {
    const found = await context.catalog.backup(id);
    if (!found) continue;
    const backup = visibleData(found);
    const where = (await presentCopies(context, id)).map(({ storage }) => storage).join(", ") || "no copy";
    yield `  ${shortId(backup.id)}  ${backup.started_at.slice(0, 19)}Z  ${backupWord(backup)}  ${where}`;
  }
}

async function presentCopies({ catalog }: JobContext, id: string) {
  return (await catalog.copies(id)).filter(({ state }) => state !== "FAILED" && state !== "DELETED");
}

async function ask({ terminal }: Invocation, name: string): Promise<string> {
  if (!terminal?.isInteractive)
    throw new Pg321Error("usage", "forget: there is no terminal to ask for confirmation", {
      hint: `confirm with ${shellOption("--yes", name)}`,
    });
  const lines = createInterface({ input: process.stdin, output: process.stderr, terminal: true });
  try {
    return await lines.question(
      "All of this will be deleted for good. To confirm, type the database's name: ",
    );
  } finally {
    lines.close();
  }
}
