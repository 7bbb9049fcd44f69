import type { Database } from "bun:sqlite";
import { dirname } from "node:path";
import type { Clock } from "../../base/clock.ts";
import { Pg321Error } from "../../base/errors.ts";
import { requireAnswer } from "../../base/files/place.ts";
import type { Log } from "../../base/log.ts";
import type { BackupFilter, Catalog, OthersHistory, RetainedSnapshot } from "../catalog.ts";
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
import type { Unwritable } from "../unwritable.ts";
import { type Do, whileBusy } from "./busy.ts";
import { changeAlert, insertDeliveries } from "./fleet/alerts.ts";
import { fenced, removeBackup, takeLease, tokenOf } from "./fleet/leases.ts";
import { deleteOldHistory, pruningTombstones } from "./history.ts";
import { newestBackup } from "./newest/newest.ts";
import { type OpenedDatabase, openDatabase } from "./open.ts";
import { backupOutlines } from "./outlines.ts";
import { backupsWithoutCopies, copiesInState, copyStates, placedCopies } from "./pages.ts";
import { SqliteParts } from "./parts.ts";
import { openRetained } from "./retained.ts";
import {
  alertsOf,
  COPIES_OF,
  changeOf,
  equalTo,
  idsFrom,
  insertion,
  ofHost,
  thoseOf,
  upsertAll,
  whereAll,
} from "./statements.ts";
import {
  ALERTS,
  BACKUPS,
  COPIES,
  columnsOf,
  DELIVERIES,
  fromRow,
  LEASES,
  type Row,
  RUNS,
  type Table,
  TOMBSTONES,
} from "./tables.ts";

const NEWEST_FIRST = "ORDER BY started_at DESC, id DESC LIMIT $limit";
const REMOVED_LAST = "ORDER BY removed_at DESC, backup_id DESC";
/** SQLite's "no limit". */
const ALL = -1;

type Opened = OpenedDatabase & { catalog: Catalog };
type AlertFilter = Parameters<Catalog["alerts"]>[0];
type DeliveryFilter = Parameters<Catalog["deliveries"]>[0];

/**
 * Opens the catalog at `path`, creates it if it does not exist, and migrates it. If its disk takes no more bytes it
 * can still be read; then every write throws a `CatalogUnwritableError`. `part`: it may be an unfinished copy.
 */
export const openSqlite = async (...how: Parameters<typeof openSqliteFile>): Promise<Catalog> =>
  (await openSqliteFile(...how)).catalog;

/** With the connection, for more tables. In the thread of the event loop: a path that hangs would hang everything. */
export async function openSqliteFile(path: string, clock: Clock, log?: Log, part = false): Promise<Opened> {
  await requireAnswer(`catalog ${path}`, dirname(path));
  const { database, unwritable } = await whileBusy(path, "open", clock, () => openDatabase(path, log, part));
  return { catalog: new SqliteCatalog(database, path, clock, unwritable), database, unwritable };
}

class SqliteCatalog extends SqliteParts implements Catalog {
  readonly isShared = false;
  readonly #database: Database;
  readonly #path: string;
  readonly #clock: Clock;
  readonly #do: Do;

  /** `unwritable`: why the catalog can only be read; undefined if it can be written. */
  constructor(database: Database, path: string, clock: Clock, unwritable: Unwritable | undefined) {
    const whileFree: Do = (doing, operation) => whileBusy(path, doing, clock, operation, unwritable);
    super(database, whileFree);
    this.#database = database;
    this.#path = path;
    this.#clock = clock;
    this.#do = whileFree;
  }

  installation(): Promise<string | undefined> {
    return this.#do("read the installation", () => this.#installation());
  }

  belongTo(installation: string): Promise<string> {
    return this.#do("store the installation", () => {
      this.#run("INSERT INTO installation VALUES (1, $installation) ON CONFLICT DO NOTHING", {
        installation,
      });
      return String(this.#installation());
    });
  }

  #installation(): string | undefined {
    const [row] = this.#rows("SELECT id FROM installation", {});
    return row && String(row["id"]);
  }

  insertBackup(record: BackupRecord, fence?: Fence): Promise<void> {
    return this.#insert(BACKUPS, record, fence);
  }

  updateBackup(id: string, change: Partial<Omit<BackupRecord, "id">>, fence?: Fence): Promise<void> {
    return this.#update(BACKUPS, { id }, change, fence);
  }

  async backup(id: string): Promise<BackupRecord | undefined> {
    const [record] = await this.#select(BACKUPS, "WHERE id = $id", { id });
    return record;
  }

  async backupsByPrefix(prefix: string, limit: number): Promise<BackupRecord[]> {
    const ids = idsFrom("id", prefix);
    return ids === undefined
      ? []
      : this.#select(BACKUPS, `${ids.where} ${NEWEST_FIRST}`, { ...ids.values, limit });
  }

  backups({ limit = ALL, offset = 0, ...filter }: BackupFilter): Promise<BackupRecord[]> {
    const { where, values } = thoseOf(filter);
    const rest = `${whereAll(where)} ${NEWEST_FIRST} OFFSET $offset`;
    return this.#select(BACKUPS, rest, { ...values, limit, offset });
  }

  countBackups(filter: Parameters<Catalog["countBackups"]>[0]): Promise<number> {
    const { where, values } = thoseOf(filter);
    const sql = `SELECT count(*) AS backups FROM backups ${whereAll(where)}`;
    return this.#do("count backups", () => Number(this.#rows(sql, values)[0]?.["backups"]));
  }

  copyStates(storage: string, keys: readonly string[]): Promise<Map<string, CopyState>> {
    return copyStates((sql, values) => this.#do("read copies", () => this.#rows(sql, values)), storage, keys);
  }

  outlines(filter: OutlineFilter): AsyncIterable<BackupOutline[]> {
    return backupOutlines((sql, values) => this.#do("read backups", () => this.#rows(sql, values)), filter);
  }

  retained(): Promise<RetainedSnapshot> {
    return openRetained(this.#path, this.#clock);
  }

  backupsWithoutCopies(): AsyncIterable<EmptyBackup[]> {
    return backupsWithoutCopies((sql, values) => this.#do("read backups", () => this.#rows(sql, values)));
  }

  removeBackup(tombstone: TombstoneRecord, fence?: Fence): Promise<void> {
    return this.#do("remove a backup", () => {
      if (!removeBackup(this.#database, tombstone, fence))
        throw this.#noRecord("remove a backup", tombstone.backup_id);
    });
  }

  tombstones(filter: Parameters<Catalog["tombstones"]>[0]): Promise<TombstoneRecord[]> {
    const { limit = ALL, offset = 0, ...wanted } = filter;
    const { where, values } = thoseOf(wanted);
    const rest = `${whereAll(where)} ${REMOVED_LAST} LIMIT $limit OFFSET $offset`;
    return this.#select(TOMBSTONES, rest, { ...values, limit, offset });
  }

  async tombstoneByPrefix(prefix: string): Promise<TombstoneRecord | undefined> {
    const ids = idsFrom("backup_id", prefix);
    return ids && (await this.#select(TOMBSTONES, `${ids.where} ${REMOVED_LAST} LIMIT 1`, ids.values))[0];
  }

  pruneTombstones(removedBefore: string, except?: OthersHistory): Promise<number> {
    const [sql, values] = pruningTombstones(removedBefore, except);
    return this.#do("prune tombstones", () => this.#run(sql, values));
  }

  pruneHistory(before: string, except?: OthersHistory): Promise<HistoryCounts> {
    return this.#do("prune the history", () => deleteOldHistory(this.#database, before, except));
  }

  newestGood(server: string, database: string, now: Date): Promise<BackupRecord | undefined> {
    return this.#do("read backups", () => newestBackup(this.#database, "good", { server, database }, now));
  }

  putCopy(record: CopyRecord, fence?: Fence): Promise<void> {
    return this.putCopies([record], fence);
  }

  async putCopies(records: readonly CopyRecord[], fence?: Fence): Promise<void> {
    if (records.length === 0) return;
    const put = () => void this.#run(...upsertAll(COPIES, ["backup_id", "storage"], records));
    await this.#do("store copies", () => fenced(this.#database, fence, put));
  }

  updateCopy(...[backup_id, storage, change, fence]: Parameters<Catalog["updateCopy"]>): Promise<void> {
    return this.#update(COPIES, { backup_id, storage }, change, fence);
  }

  copies(backupId: string): Promise<CopyRecord[]> {
    return this.#select(COPIES, "WHERE backup_id = $backupId ORDER BY storage", { backupId });
  }

  copiesOf(backupIds: readonly string[]): Promise<CopyRecord[]> {
    return this.#select(COPIES, COPIES_OF, { ids: JSON.stringify(backupIds) });
  }

  copiesInState(...which: Parameters<Catalog["copiesInState"]>): Promise<CopyRecord[]> {
    return this.#select(COPIES, ...copiesInState(...which));
  }

  placedCopies(states: readonly CopyState[]): AsyncIterable<PlacedCopy[]> {
    return placedCopies((sql, values) => this.#do("read copies", () => this.#rows(sql, values)), states);
  }

  insertRun(record: RunRecord): Promise<void> {
    return this.#insert(RUNS, record);
  }

  updateRun(id: string, change: Partial<Omit<RunRecord, "id">>): Promise<void> {
    return this.#update(RUNS, { id }, change);
  }

  runs({ limit, ...wanted }: Parameters<Catalog["runs"]>[0]): Promise<RunRecord[]> {
    const { where, values } = equalTo(wanted);
    return this.#select(RUNS, `${whereAll(where)} ${NEWEST_FIRST}`, { ...values, limit: limit ?? ALL });
  }

  changeAlert(...[key, decide, scope]: Parameters<Catalog["changeAlert"]>): Promise<AlertRecord | undefined> {
    return this.#do("change an alert", () => changeAlert(this.#database, key, decide, scope));
  }

  alerts({ limit, ...wanted }: AlertFilter): Promise<AlertRecord[]> {
    const { where, values } = alertsOf(wanted);
    const rest = `${whereAll(where)} ORDER BY created_at DESC, id DESC LIMIT $limit`;
    return this.#select(ALERTS, rest, { ...values, limit: limit ?? ALL });
  }

  acknowledgeAlert(id: string, at: string): Promise<void> {
    return this.#update(ALERTS, { id }, { acknowledged_at: at });
  }

  insertDeliveries(records: readonly DeliveryRecord[], host?: string): Promise<void> {
    return this.#do("insert into deliveries", () => insertDeliveries(this.#database, records, host ?? null));
  }

  updateDelivery(id: string, change: Partial<Omit<DeliveryRecord, "id">>): Promise<void> {
    return this.#update(DELIVERIES, { id }, change);
  }

  claimDelivery(id: string, now: string, until: string): Promise<boolean> {
    const sql = `UPDATE deliveries SET attempts = attempts + 1, next_try_at = $until
      WHERE id = $id AND state = 'PENDING' AND next_try_at <= $now`;
    return this.#do("take a delivery", () => this.#run(sql, { id, now, until }) === 1);
  }

  deliveries({ limit, ...wanted }: DeliveryFilter): Promise<DeliveryRecord[]> {
    const { where, values } = ofHost(wanted);
    const rest = `${whereAll(where)} ORDER BY rowid LIMIT $limit`;
    return this.#select(DELIVERIES, rest, { ...values, limit: limit ?? ALL });
  }

  acquireLease(
    ...[lease, now, fateOf]: Parameters<Catalog["acquireLease"]>
  ): Promise<LeaseHolder | undefined> {
    return this.#do("take a lease", () =>
      takeLease(this.#database, lease, (holder) => isHeld(holder, now, fateOf)),
    );
  }

  renewLease(name: string, runId: string, expiresAt: string): Promise<boolean> {
    const sql = "UPDATE leases SET expires_at = $expiresAt WHERE name = $name AND run_id = $runId";
    return this.#do("renew a lease", () => this.#run(sql, { name, runId, expiresAt }) === 1);
  }

  releaseLease(name: string, runId: string): Promise<void> {
    const sql = "DELETE FROM leases WHERE name = $name AND run_id = $runId";
    return this.#do("release a lease", () => void this.#run(sql, { name, runId }));
  }

  leaseToken(name: string, runId: string): Promise<number | undefined> {
    return this.#do("read a lease", () => tokenOf(this.#database, name, runId));
  }

  leases(): Promise<LeaseHolder[]> {
    return this.#select(LEASES, "ORDER BY name", {});
  }

  async leaseTime(clock: Clock): Promise<Date> {
    return clock.now();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#database.close();
  }

  #insert<R extends object>(table: Table<R>, record: R, fence?: Fence): Promise<void> {
    const insert = () => void this.#run(...insertion("INSERT", table, record));
    return this.#do(`insert into ${table.name}`, () => fenced(this.#database, fence, insert));
  }

  #update<R extends object>(
    table: Table<R>,
    key: Row,
    change: Partial<NoInfer<R>>,
    fence?: Fence,
  ): Promise<void> {
    const changing = changeOf(table, key, change);
    const update = () => {
      if (this.#run(...changing) === 1) return;
      const wanted = Object.values(key).join(" in ");
      throw this.#noRecord(`update ${table.name}`, wanted);
    };
    return this.#do(`update ${table.name}`, () => fenced(this.#database, fence, update));
  }

  #select<R extends object>(table: Table<R>, rest: string, values: Row): Promise<R[]> {
    return this.#do(`read ${table.name}`, () =>
      this.#rows(`SELECT ${columnsOf(table)} FROM ${table.name} ${rest}`, values).map((row) =>
        fromRow(table, row),
      ),
    );
  }

  #noRecord(doing: string, of: string): Pg321Error {
    return new Pg321Error("storage", `catalog ${this.#path}: cannot ${doing}: no record of ${of}`);
  }

  #run(sql: string, values: Row): number {
    return this.#database.query<never, Row>(sql).run(values).changes;
  }

  #rows(sql: string, values: Row): Row[] {
    return this.#database.query<Row, Row>(sql).all(values);
  }
}
