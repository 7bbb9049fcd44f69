import { Pg321Error } from "../../base/errors.ts";
import { plural, sizeText } from "../../base/text/amounts.ts";
import type { BackupRecord } from "../../catalog/records.ts";
import type { NamedDatabase } from "../../config/database-pattern.ts";
import type { JobContext } from "../context.ts";
import { LOOKED_FOR } from "../copies/damage.ts";
import { findDatabase } from "../copies/find-database.ts";
import { ownershipOf } from "../ownership.ts";
import { byUrgency, type ChosenCopies, type VerifyLimit } from "./budget.ts";

export interface VerifyChoice {
  /** `app` or `server/app`; all databases if empty. */
  databases: readonly string[];
  /** Every backup, not only the newest good one of each database. */
  isAll: boolean;
  /** Only the copies in this storage. */
  storage: string | undefined;
  /** Not all of them, but a share or a number of copies, or so many bytes: the most urgent ones of every backup. */
  sample?: Sample | undefined;
}

export interface Sample {
  copies?: number | undefined;
  /** More than 0, up to 100. */
  percent?: number | undefined;
  bytes?: number | undefined;
}

export interface Chosen {
  ids: AsyncIterable<ChosenCopies> | readonly string[];
  limit?: VerifyLimit;
  /** What will be read, for a person: reading from a cloud may cost money. */
  amount: string;
}

/** Chooses the backups to verify as the schedule does, or all of them. Throws code `usage` for an unknown database. */
export async function chooseBackups(context: JobContext, choice: VerifyChoice): Promise<Chosen> {
  const named = await Promise.all(choice.databases.map((word) => findDatabase(context, word)));
  if (choice.sample) return sampled(context, named, choice.storage, choice.sample);
  if (choice.isAll) {
    const ids = named.length === 0 ? backupsToVerify(context) : idsOf(context, named);
    return { ids, amount: amountText(context, await totals(context, named, choice.storage)) };
  }
  const latest = await context.catalog.overview.latestBackups(context.clock.now());
  const { owns } = await ownershipOf(context);
  const isChosen = (one: BackupRecord) => isOneOf(named, one) && (named.length > 0 || owns(one));
  const newest = latest.flatMap(({ good }) => (good !== null && isChosen(good) ? [good] : []));
  if (newest.length === 0)
    throw new Pg321Error(named.length > 0 ? "usage" : "verification", "there is no good backup to verify", {
      hint: "pg321 verify --all reads the others as well",
    });
  return { ids: newest.map(({ id }) => id), amount: await newestText(context, newest, choice.storage) };
}

async function sampled(
  context: JobContext,
  named: readonly NamedDatabase[],
  storage: string | undefined,
  { copies, percent, bytes }: Sample,
): Promise<Chosen> {
  const amounts = await totals(context, named, storage);
  const all = sumOf(amounts.filter((one) => context.storages.some(({ name }) => name === one.storage)));
  const share = percent === undefined ? undefined : Math.ceil((all.copies * percent) / 100);
  const most = copies ?? share;
  const limits = [
    ...(most === undefined ? [] : [plural(most, "copy", "copies")]),
    ...(bytes === undefined ? [] : [sizeText(bytes)]),
  ].join(" and ");
  const of = `${plural(all.copies, "copy", "copies")}, ${sizeText(all.bytes)}`;
  const order = "never read back first, then the longest not read";
  return {
    ids: byUrgency(context, (server, database) => isOneOf(named, { server, database }), storage),
    limit: { copies: most, bytes },
    amount: `reading at most ${limits} of ${of} (${order})${chargeText(context, amounts)}`,
  };
}

/** The id of every backup with a manifest, newest first. */
export async function* backupsToVerify({ catalog }: Pick<JobContext, "catalog">): AsyncGenerator<string> {
  for await (const outlines of catalog.outlines({})) for (const { id } of outlines) yield id;
}

/** The id of every backup of these databases, newest first: of the first database, then of the next. */
async function* idsOf(
  { catalog }: Pick<JobContext, "catalog">,
  named: readonly NamedDatabase[],
): AsyncGenerator<string> {
  for (const [index, { server, database }] of named.entries()) {
    const earlier = named.slice(0, index);
    for await (const outlines of catalog.outlines({
      database,
      ...(server !== undefined && { server }),
      isAny: true,
    }))
      for (const one of outlines) if (index === 0 || !isOneOf(earlier, one)) yield one.id;
  }
}

function isOneOf(
  named: readonly NamedDatabase[],
  { server, database }: Pick<BackupRecord, "server" | "database">,
): boolean {
  return (
    named.length === 0 || named.some((one) => one.database === database && (one.server ?? server) === server)
  );
}

/** Copies and bytes in one storage. */
interface Amount {
  storage: string;
  copies: number;
  bytes: number;
}

async function totals(
  { catalog, clock }: JobContext,
  named: readonly NamedDatabase[],
  only: string | undefined,
): Promise<Amount[]> {
  const all = await catalog.overview.copyTotals(clock.now());
  return all.filter((one) => isOneOf(named, one) && (only === undefined || only === one.storage));
}

async function newestText(
  context: JobContext,
  newest: readonly BackupRecord[],
  only: string | undefined,
): Promise<string> {
  const amounts: Amount[] = [];
  for (const { id, object_bytes } of newest)
    for (const { storage, state } of await context.catalog.copies(id))
      if (LOOKED_FOR.includes(state) && (only === undefined || only === storage))
        amounts.push({ storage, copies: 1, bytes: object_bytes ?? 0 });
  const more = "the newest good backup of each database; --all reads every backup";
  return `${amountText(context, amounts)} (${more})`;
}

/** `reading 6 copies, 3.0 GiB: disk 1.5 GiB, r2 1.5 GiB; a provider may charge for reading from r2` */
function amountText(context: JobContext, amounts: readonly Amount[]): string {
  const read = context.storages
    .map(({ name }) => ({ name, ...sumOf(amounts.filter(({ storage }) => storage === name)) }))
    .filter(({ copies }) => copies > 0);
  const { copies, bytes } = sumOf(read);
  const each = read.map((one) => `${one.name} ${sizeText(one.bytes)}`).join(", ");
  const charge = chargeText(context, amounts);
  return `reading ${plural(copies, "copy", "copies")}, ${sizeText(bytes)}${each && `: ${each}`}${charge}`;
}

function chargeText({ storages }: JobContext, amounts: readonly Amount[]): string {
  const charged = storages
    .filter(({ settings }) => settings.type === "s3" && settings.off_site)
    .filter(({ name }) => amounts.some(({ storage, copies }) => storage === name && copies > 0))
    .map(({ name }) => name);
  return charged.length === 0 ? "" : `; a provider may charge for reading from ${charged.join(", ")}`;
}

function sumOf(amounts: readonly Pick<Amount, "copies" | "bytes">[]): { copies: number; bytes: number } {
  return {
    copies: amounts.reduce((sum, one) => sum + one.copies, 0),
    bytes: amounts.reduce((sum, one) => sum + one.bytes, 0),
  };
}
