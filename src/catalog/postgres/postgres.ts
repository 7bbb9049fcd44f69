import type { Clock } from "../../base/clock.ts";
import { Pg321Error } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import type { Secret } from "../../base/secret.ts";
import { parseCatalogUrl } from "../../config/catalog-url.ts";
import type {
  AlertChange,
  AlertScope,
  BackupFilter,
  Catalog,
  OthersHistory,
  RetainedSnapshot,
} from "../catalog.ts";
import type { Fence } from "../fence.ts";
import { isHeld } from "../lease.ts";
import type { BackupOutline, EmptyBackup, OutlineFilter, PlacedCopy } from "../outlines.ts";
import type {
  AlertRecord,
  BackupRecord,
  CopyRecord,
  CopyState,
  DeliveryRecord,
  HistoryCounts,
  LeaseHolder,
  RunRecord,
  TombstoneRecord,
} from "../records.ts";
import { pruningTombstones } from "../sqlite/history.ts";
import { backupOutlines } from "../sqlite/outlines.ts";
import { backupsWithoutCopies, copiesInState, copyStates, placedCopies } from "../sqlite/pages.ts";
import {
  alertsOf,
  COPIES_OF,
  equalTo,
  idsFrom,
  ofHost,
  thoseOf,
  upsert,
  upsertAll,
  whereAll,
} from "../sqlite/statements.ts";
import { ALERTS, BACKUPS, COPIES, DELIVERIES, LEASES, type Row, RUNS, TOMBSTONES } from "../sqlite/tables.ts";
import { changeAlert, insertDeliveries } from "./fleet/alerts.ts";
import { fencedDo, nextToken, tokenOf } from "./fleet/leases.ts";
import { deleteOldHistory } from "./history.ts";
import { migrate } from "./migration/migrate.ts";
import { newestBackup } from "./newest.ts";
import { PostgresParts } from "./parts.ts";
import { insert, recordsOf, select, update } from "./records.ts";
import { openRetained } from "./retained.ts";
import { type Do, type Transaction, Transactions, type TransactionsOptions } from "./transactions.ts";

const NEWEST_FIRST = "ORDER BY started_at DESC, id DESC LIMIT $limit";
const REMOVED_LAST = "ORDER BY removed_at DESC, backup_id DESC";
/** PostgreSQL's "no limit". */
const ALL = null;

const SERVER_TIME = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS ms";

type RunFilter = Parameters<Catalog["runs"]>[0];
type AlertFilter = Parameters<Catalog["alerts"]>[0];
type DeliveryFilter = Parameters<Catalog["deliveries"]>[0];

/** Opens the catalog in the database of `catalog.url`, creates its schema if there is none, and migrates it. */
export async function openPostgres(
  url: Secret,
  clock: Clock,
  log?: Log,
  isCopying = false,
): Promise<Catalog> {
  const transactions = transactionsAt(url, clock);
  try {
    await migrate(transactions, { log, isCopying });
    transactions.beginMarking();
    return new PostgresCatalog(transactions);
  } catch (error) {
    await transactions[Symbol.asyncDispose]();
    throw error;
  }
}

/** The transactions of the catalog at `catalog.url`. Connects to nothing yet. */
export function transactionsAt(url: Secret, clock: Clock, options?: TransactionsOptions): Transactions {
  const parsed = parseCatalogUrl(url.reveal());
  if (!parsed) throw new Pg321Error("usage", "catalog.url: not the URL of a PostgreSQL database");
  return new Transactions(parsed, clock, options);
}

/** The part of `Transactions` that the catalog uses. */
type Transactional = Omit<Transactions, "login" | "doSlowly" | "beginMarking" | "revive">;

/** Works with a schema of the newest version. */
export class PostgresCatalog extends PostgresParts implements Catalog {
  readonly isShared = true;
  readonly #transactions: Transactional;
  readonly #do: Transactions["do"];

  constructor(transactions: Transactional) {
    super(transactions.do, transactions.readAtOneMoment);
    this.#transactions = transactions;
    this.#do = transactions.do;
  }

  installation(): Promise<string | undefined> {
    return this.#do("read the installation", async ({ rows }) => {
      const [row] = await rows<{ id: string }>("SELECT id FROM installation");
      return row?.id;
    });
  }

  belongTo(installation: string): Promise<string> {
    return this.#do("store the installation", async ({ rows, run }) => {
      await run("INSERT INTO installation VALUES (1, $installation) ON CONFLICT DO NOTHING", {
        installation,
      });
      const [row] = await rows<{ id: string }>("SELECT id FROM installation");
      return String(row?.id);
    });
  }

  insertBackup(record: BackupRecord, fence?: Fence): Promise<void> {
    return insert(fencedDo(this.#do, fence), BACKUPS, record);
  }

  updateBackup(id: string, change: Partial<Omit<BackupRecord, "id">>, fence?: Fence): Promise<void> {
    return update(this.#updating(fence), BACKUPS, { id }, change);
  }

  async backup(id: string): Promise<BackupRecord | undefined> {
    const [record] = await select(this.#do, BACKUPS, "WHERE id = $id", { id });
    return record;
  }

  async backupsByPrefix(prefix: string, limit: number): Promise<BackupRecord[]> {
    const ids = idsFrom("id", prefix);
    return ids === undefined
      ? []
      : select(this.#do, BACKUPS, `${ids.where} ${NEWEST_FIRST}`, { ...ids.values, limit });
  }

  backups({ limit, offset = 0, ...filter }: BackupFilter): Promise<BackupRecord[]> {
    const { where, values } = thoseOf(filter);
    const rest = `${whereAll(where)} ${NEWEST_FIRST} OFFSET $offset`;
    return select(this.#do, BACKUPS, rest, { ...values, limit: limit ?? ALL, offset });
  }

  countBackups(filter: Parameters<Catalog["countBackups"]>[0]): Promise<number> {
    const { where, values } = thoseOf(filter);
    const sql = `SELECT count(*) AS backups FROM backups ${whereAll(where)}`;
    return this.#do("count backups", async ({ rows }) => {
      const [row] = await rows<{ backups: number }>(sql, values);
      return Number(row?.backups);
    });
  }

  copyStates(storage: string, keys: readonly string[]): Promise<Map<string, CopyState>> {
    return copyStates((sql, values) => this.#rows("read copies", sql, values), storage, keys);
  }

  outlines(filter: OutlineFilter): AsyncIterable<BackupOutline[]> {
    return backupOutlines((sql, values) => this.#rows("read backups", sql, values), filter);
  }

  retained(): Promise<RetainedSnapshot> {
    return openRetained(this.#transactions);
  }

  backupsWithoutCopies(): AsyncIterable<EmptyBackup[]> {
    return backupsWithoutCopies((sql, values) => this.#rows("read backups", sql, values));
  }

  removeBackup(tombstone: TombstoneRecord, fence?: Fence): Promise<void> {
    const id = tombstone.backup_id;
    return fencedDo(this.#do, fence)("remove a backup", async ({ run }) => {
      await run("DELETE FROM copies WHERE backup_id = $id", { id });
      if ((await run("DELETE FROM backups WHERE id = $id", { id })) !== 1)
        throw new Pg321Error("storage", `${this.#transactions.label}: cannot remove ${id}: no record of it`);
      // A backup that was adopted again after its removal has a tombstone already.
      await run(...upsert(TOMBSTONES, ["backup_id"], tombstone));
    });
  }

  tombstones(filter: Parameters<Catalog["tombstones"]>[0]): Promise<TombstoneRecord[]> {
    const { limit, offset = 0, ...wanted } = filter;
    const { where, values } = thoseOf(wanted);
    const rest = `${whereAll(where)} ${REMOVED_LAST} LIMIT $limit OFFSET $offset`;
    return select(this.#do, TOMBSTONES, rest, { ...values, limit: limit ?? ALL, offset });
  }

  async tombstoneByPrefix(prefix: string): Promise<TombstoneRecord | undefined> {
    const ids = idsFrom("backup_id", prefix);
    if (ids === undefined) return undefined;
    const [last] = await select(this.#do, TOMBSTONES, `${ids.where} ${REMOVED_LAST} LIMIT 1`, ids.values);
    return last;
  }

  pruneTombstones(removedBefore: string, except?: OthersHistory): Promise<number> {
    const [sql, values] = pruningTombstones(removedBefore, except);
    return this.#do("prune tombstones", ({ run }) => run(sql, values));
  }

  pruneHistory(before: string, except?: OthersHistory): Promise<HistoryCounts> {
    return this.#do("prune the history", (transaction) => deleteOldHistory(transaction, before, except));
  }

  newestGood(server: string, database: string, now: Date): Promise<BackupRecord | undefined> {
    return this.#do("read backups", (transaction) =>
      newestBackup(transaction, "good", { server, database }, now),
    );
  }

  putCopy(record: CopyRecord, fence?: Fence): Promise<void> {
    return this.putCopies([record], fence);
  }

  async putCopies(records: readonly CopyRecord[], fence?: Fence): Promise<void> {
    if (records.length === 0) return;
    const put = upsertAll(COPIES, ["backup_id", "storage"], records);
    await fencedDo(this.#do, fence)("store copies", ({ run }) => run(...put));
  }

  updateCopy(...[backup_id, storage, change, fence]: Parameters<Catalog["updateCopy"]>): Promise<void> {
    return update(this.#updating(fence), COPIES, { backup_id, storage }, change);
  }

  copies(backupId: string): Promise<CopyRecord[]> {
    return select(this.#do, COPIES, "WHERE backup_id = $backupId ORDER BY storage", { backupId });
  }

  copiesOf(backupIds: readonly string[]): Promise<CopyRecord[]> {
    return select(this.#do, COPIES, COPIES_OF, { ids: JSON.stringify(backupIds) });
  }

  copiesInState(...which: Parameters<Catalog["copiesInState"]>): Promise<CopyRecord[]> {
    return select(this.#do, COPIES, ...copiesInState(...which));
  }

  placedCopies(states: readonly CopyState[]): AsyncIterable<PlacedCopy[]> {
    return placedCopies((sql, values) => this.#rows("read copies", sql, values), states);
  }

  insertRun(record: RunRecord): Promise<void> {
    return insert(this.#do, RUNS, record);
  }

  updateRun(id: string, change: Partial<Omit<RunRecord, "id">>): Promise<void> {
    return update(this.#transactions, RUNS, { id }, change);
  }

  runs({ limit, ...wanted }: RunFilter): Promise<RunRecord[]> {
    const { where, values } = equalTo(wanted);
    return select(this.#do, RUNS, `${whereAll(where)} ${NEWEST_FIRST}`, { ...values, limit: limit ?? ALL });
  }

  changeAlert(
    key: string,
    decide: (open: AlertRecord | undefined) => AlertChange | undefined,
    scope?: AlertScope,
  ): Promise<AlertRecord | undefined> {
    return this.#do("change an alert", (transaction) => changeAlert(transaction, key, decide, scope));
  }

  alerts({ limit, ...wanted }: AlertFilter): Promise<AlertRecord[]> {
    const { where, values } = alertsOf(wanted);
    const rest = `${whereAll(where)} ORDER BY created_at DESC, id DESC LIMIT $limit`;
    return select(this.#do, ALERTS, rest, { ...values, limit: limit ?? ALL });
  }

  acknowledgeAlert(id: string, at: string): Promise<void> {
    return update(this.#transactions, ALERTS, { id }, { acknowledged_at: at });
  }

  insertDeliveries(records: readonly DeliveryRecord[], host?: string): Promise<void> {
    const insert = (transaction: Transaction) => insertDeliveries(transaction, records, host ?? null);
    return this.#do("insert into deliveries", insert);
  }

  updateDelivery(id: string, change: Partial<Omit<DeliveryRecord, "id">>): Promise<void> {
    return update(this.#transactions, DELIVERIES, { id }, change);
  }

  claimDelivery(id: string, now: string, until: string): Promise<boolean> {
    const sql = `UPDATE deliveries SET attempts = attempts + 1, next_try_at = $until
      WHERE id = $id AND state = 'PENDING' AND next_try_at <= $now`;
    return this.#do("take a delivery", async ({ run }) => (await run(sql, { id, now, until })) === 1);
  }

  deliveries({ limit, ...wanted }: DeliveryFilter): Promise<DeliveryRecord[]> {
    const { where, values } = ofHost(wanted);
    const rest = `${whereAll(where)} ORDER BY position LIMIT $limit`;
    return select(this.#do, DELIVERIES, rest, { ...values, limit: limit ?? ALL });
  }

  acquireLease(
    ...[lease, now, fateOf]: Parameters<Catalog["acquireLease"]>
  ): Promise<LeaseHolder | undefined> {
    return this.#do("take a lease", async (transaction) => {
      // There is no row to lock for a lease that nobody has.
      await transaction.lock("lease", lease.name);
      const [holder] = await recordsOf(transaction, LEASES, "WHERE name = $name", { name: lease.name });
      if (holder && isHeld(holder, now, fateOf)) return holder;
      await transaction.run(...upsert(LEASES, ["name"], lease));
      await nextToken(transaction, lease.name);
      return undefined;
    });
  }

  renewLease(name: string, runId: string, expiresAt: string): Promise<boolean> {
    const sql = "UPDATE leases SET expires_at = $expiresAt WHERE name = $name AND run_id = $runId";
    return this.#do("renew a lease", async ({ run }) => (await run(sql, { name, runId, expiresAt })) === 1);
  }

  releaseLease(name: string, runId: string): Promise<void> {
    const sql = "DELETE FROM leases WHERE name = $name AND run_id = $runId";
    return this.#run("release a lease", sql, { name, runId });
  }

  leaseToken(name: string, runId: string): Promise<number | undefined> {
    return this.#do("read a lease", (transaction) => tokenOf(transaction, name, runId));
  }

  leases(): Promise<LeaseHolder[]> {
    return select(this.#do, LEASES, "ORDER BY name", {});
  }

  leaseTime(): Promise<Date> {
    return this.#do("read the time of the server", async ({ rows }) => {
      const [row] = await rows<{ ms: number }>(SERVER_TIME);
      return new Date(Number(row?.ms));
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#transactions[Symbol.asyncDispose]();
  }

  #updating(fence: Fence | undefined): { do: Do; label: string } {
    return { do: fencedDo(this.#do, fence), label: this.#transactions.label };
  }

  #run(doing: string, sql: string, values: Row): Promise<void> {
    return this.#do(doing, async ({ run }) => void (await run(sql, values)));
  }

  #rows(doing: string, sql: string, values: Row): Promise<Row[]> {
    return this.#do(doing, ({ rows }) => rows(sql, values));
  }
}
