import { messageOf, Pg321Error } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import type { AlertChange, Catalog } from "../catalog.ts";
import { hasHappened } from "../postgres/calls.ts";
import { recordsOf } from "../postgres/records.ts";
import type { Transaction, Transactions } from "../postgres/transactions.ts";
import type { BackupRecord, CopyRecord, DeliveryRecord, RunRecord } from "../records.ts";
import { OWN_ALERT, OWN_DELIVERY } from "../sqlite/fleet/alerts.ts";
import { upsert } from "../sqlite/statements.ts";
import { ALERTS, BACKUPS, DELIVERIES, RUNS } from "../sqlite/tables.ts";
import { type Call, invoke } from "./calls.ts";
import { catalogIn, putCopy, refuseOtherIdentity, updateBackup, updateCopy } from "./conflicts.ts";
import type { Entry, SpoolFile } from "./file.ts";
import { isOutage } from "./unreachable.ts";

const DELIVERED = "SELECT delivered FROM spools WHERE id = $id FOR UPDATE";
const BEGIN = "INSERT INTO spools VALUES ($id, $host, 0, now()) ON CONFLICT DO NOTHING";
const ADVANCE = "UPDATE spools SET delivered = $number, delivered_at = now() WHERE id = $id";

export interface DeliveryTools {
  file: SpoolFile;
  transactions: Transactions;
  host: string;
  log: Log | undefined;
}

/**
 * Delivers the changes of the journal in their order, each exactly once: its number is stored in the transaction that
 * makes it. One that the catalog refuses is kept in the file with the error, and the next ones are delivered. Several
 * processes may do this at once. Returns the number of changes. Rejects if the catalog cannot take a change now.
 */
export async function deliver(tools: DeliveryTools): Promise<number> {
  const { file, log } = tools;
  let count = 0;
  for (let entry = file.first(); entry !== undefined; entry = file.first()) {
    try {
      await deliverEntry(tools, entry);
      await file.settle(entry);
    } catch (error) {
      if (isOutage(error) || (error instanceof Pg321Error && error.retryable)) throw error;
      await advance(tools, entry);
      await file.settle(entry, messageOf(error));
      const { part, method } = entry.call;
      log?.error("the catalog refuses a record of this host's spool; it stays in the spool", {
        call: `${part}${part && "."}${method}`,
        number: entry.number,
        error: messageOf(error),
      });
    }
    count++;
  }
  return count;
}

/**
 * If the catalog has more of this file than it remembers to have delivered, it was put back from an older state with its
 * host. Its numbers begin again there, so its next changes would count as delivered. If the catalog has less, it is the
 * older one, as after a fail-over to a standby that had not received everything.
 */
export async function noticeOlderState({ file, transactions, log }: DeliveryTools): Promise<void> {
  const { id } = file;
  const found = await transactions.do("read how far the spool was delivered", ({ rows }) =>
    rows<{ delivered: number }>("SELECT delivered FROM spools WHERE id = $id", { id }),
  );
  const delivered = Number(found[0]?.delivered ?? 0);
  const settled = Math.min(file.delivering(), (file.first()?.number ?? Number.POSITIVE_INFINITY) - 1);
  if (delivered < settled) {
    await file.forgetDeliveries(delivered);
    log?.error(
      "the catalog lacks records that this host had delivered; backups of the last day are recorded again, older ones by: pg321 cleanup --adopt",
      { path: file.path, lacks: settled - delivered },
    );
  }
  if (delivered <= file.delivering()) return;
  await file.renewId(id);
  log?.warning(
    "the spool is older than its last delivery, as after a rollback of the host; it gets a new id",
    {
      path: file.path,
      delivered,
    },
  );
}

async function deliverEntry(tools: DeliveryTools, entry: Entry): Promise<void> {
  const { transactions, file } = tools;
  await file.beginDelivery(entry);
  await transactions.do("deliver a record of the spool", async (transaction) => {
    if ((await delivered(tools, transaction)) >= entry.number) return;
    if (entry.mark === undefined || !(await hasHappened(transaction, entry.mark)))
      await apply(transaction, transactions.label, file.catalog, entry.call);
    await transaction.run(ADVANCE, { id: file.id, number: entry.number });
  });
}

/** Passes over a change that the catalog refused. */
async function advance(tools: DeliveryTools, { number }: Entry): Promise<void> {
  await tools.transactions.do("pass over a record of the spool", async (transaction) => {
    if ((await delivered(tools, transaction)) < number)
      await transaction.run(ADVANCE, { id: tools.file.id, number });
  });
}

/** The number delivered last. Until the end of the transaction no other process delivers. */
async function delivered({ file, host }: DeliveryTools, { rows, run }: Transaction): Promise<number> {
  await run(BEGIN, { id: file.id, host });
  const [row] = await rows<{ delivered: number }>(DELIVERED, { id: file.id });
  return row?.delivered ?? 0;
}

/** Makes the change as the catalog itself does, in this transaction; some need to know what others did meanwhile. */
async function apply(transaction: Transaction, label: string, known: Catalog, call: Call): Promise<void> {
  const [first, second, third] = call.args;
  if (call.part === "")
    switch (call.method) {
      case "insertBackup":
        return insertBackup(transaction, first as BackupRecord);
      case "insertRun":
        return void (await transaction.run(...upsert(RUNS, ["id"], first as RunRecord)));
      case "updateCopy":
        return updateCopy(transaction, String(first), String(second), third as Partial<CopyRecord>, label);
      case "putCopy":
        return putCopy(transaction, first as CopyRecord, label);
      case "putCopies":
        for (const record of first as CopyRecord[]) await putCopy(transaction, record, label);
        return;
      case "updateBackup":
        return updateBackup(transaction, String(first), second as Partial<BackupRecord>, label);
      case "changeAlert":
        return changeAlert(transaction, known, second as AlertChange, third as AlertHosts);
      case "insertDeliveries":
        return insertDeliveries(transaction, known, first as DeliveryRecord[], {
          host: (second as string | undefined) ?? null,
        });
    }
  if (call.part === "identities" && call.method === "confirm")
    await refuseOtherIdentity(transaction, String(first), String(second));
  await invoke(catalogIn(transaction, label), call);
}

/** Another host may have adopted the backup from its storage: this host's record says more, but a hold stays. */
async function insertBackup(transaction: Transaction, record: BackupRecord): Promise<void> {
  const [adopted] = await recordsOf(transaction, BACKUPS, "WHERE id = $id", { id: record.id });
  const { held_at, hold_until, hold_reason } = adopted ?? record;
  await transaction.run(...upsert(BACKUPS, ["id"], { ...record, held_at, hold_until, hold_reason }));
}

/** Whom a new alert and its notices belong to; null: no host. */
export interface AlertHosts {
  alert: string | null;
  notices: string | null;
}

/** If another alert of the same key was opened meanwhile, both become one. */
async function changeAlert(
  transaction: Transaction,
  known: Catalog,
  { alert, deliveries }: AlertChange,
  hosts: AlertHosts,
): Promise<void> {
  const { key, id } = alert;
  await transaction.lock("alert", key);
  const stored = await recordsOf(transaction, ALERTS, "WHERE id = $id", { id });
  const where = "WHERE key = $key AND resolved_at IS NULL AND coalesce(host, '') = $host";
  const [open] = await recordsOf(transaction, ALERTS, where, { key, host: hosts.alert ?? "" });
  const isOther = stored.length === 0 && open !== undefined;
  if (isOther) {
    const last_at = open.last_at > alert.last_at ? open.last_at : alert.last_at;
    const { resolved_at, remind_at } = alert;
    const ended = resolved_at === null ? { count: open.count + 1 } : { resolved_at, remind_at };
    await transaction.run(...upsert(ALERTS, ["id"], { ...open, last_at, ...ended }));
  } else {
    await transaction.run(...upsert(ALERTS, ["id"], alert));
    if (stored.length === 0 && hosts.alert !== null)
      await transaction.run(OWN_ALERT, { id, host: hosts.alert });
  }
  await insertDeliveries(transaction, known, deliveries, {
    host: hosts.notices,
    ...(isOther && { alertId: open.id }),
  });
}

/** Each notice as it is now: one that was sent meanwhile must not be sent by another host. */
async function insertDeliveries(
  transaction: Transaction,
  known: Catalog,
  records: readonly DeliveryRecord[],
  { host, alertId }: { host: string | null; alertId?: string },
): Promise<void> {
  for (const record of records) {
    const { id, alert_id } = record;
    const same = await known.deliveries(alert_id === null ? {} : { alert_id });
    const now = same.find((one) => one.id === id);
    const row = { ...record, ...now, alert_id: alertId ?? alert_id };
    await transaction.run(...upsert(DELIVERIES, ["id"], row));
    if (host !== null) await transaction.run(OWN_DELIVERY, { id, host });
  }
}
