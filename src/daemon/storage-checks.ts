import { statfs } from "node:fs/promises";
import { alertSelection } from "../alerts/selection-alerts.ts";
import { deadline, unlessAborted, unlessLate } from "../base/abort.ts";
import { hintOf, messageOf, Pg321Error } from "../base/errors.ts";
import { placeAt } from "../base/files/place.ts";
import { HOUR_MS } from "../base/limits.ts";
import { silentLog } from "../base/log.ts";
import type { ServerConfig } from "../config/config.ts";
import type { JobContext } from "../jobs/context.ts";
import { collectResults } from "../jobs/copies/restore-results.ts";
import { refusalAlone } from "../jobs/markers/refusal-alone.ts";
import { ownershipOf } from "../jobs/ownership.ts";
import { withoutScratch } from "../jobs/scratch/exclude.ts";
import { connect, endpointOf } from "../postgres/connection.ts";
import { chooseDatabases, listDatabases } from "../postgres/inspect.ts";
import { StorageRefused } from "../storage/refused.ts";
import { openStorage } from "../storage/registry.ts";
import type { Storage } from "../storage/storage.ts";

/** A server or a storage that has not answered after this time counts as unreachable. */
const ANSWER_MS_MAX = 20_000;
/** Results of other hosts are looked for this often: each time costs a request for each newest copy. */
const COLLECT_PAUSE_MS = HOUR_MS;
/** The key for a storage without a known object: "no such object" is an answer, too. */
const NO_KEY = "pg321-is-it-there";

/** Why a server or a storage cannot be used. */
interface Failure {
  error: string;
  hint?: string | null | undefined;
  /** It answers, but it is not the expected one. */
  isRefused?: boolean;
}

/** Checks servers and storages between the runs, so that the status shows their current state. */
export class StorageChecks {
  /** The error of the last check of each server and storage; null if it was reachable. */
  readonly #last = new Map<string, string | null>();
  #collectedAtMs = Number.NEGATIVE_INFINITY;

  /** Checks all of them once, one after the other. Rejects only if the signal aborts or the catalog fails. */
  async look(context: JobContext): Promise<void> {
    const listed = new Map<string, readonly string[]>();
    for (const server of context.config.server)
      await this.#note(context, { server: server.name }, () => seeServer(context, server, listed));
    await forgetServers(context);
    await alertSelection(context, listed);
    for (const storage of context.storages)
      await this.#note(context, { storage: storage.name }, () => seeStorage(context, storage));
    await this.#collectResults(context);
  }

  /** Reads the results of restore tests on other hosts, which takes a listing of each newest backup's storages. */
  async #collectResults(context: JobContext): Promise<void> {
    const nowMs = context.clock.monotonicMs();
    if (nowMs - this.#collectedAtMs < COLLECT_PAUSE_MS) return;
    this.#collectedAtMs = nowMs;
    await collectResults(context);
  }

  /** Checks one of them. Logs only changes since the last check. */
  async #note(
    { log, signal }: JobContext,
    about: { server: string } | { storage: string },
    look: () => Promise<Failure | null>,
  ): Promise<void> {
    signal.throwIfAborted();
    const failure = await look();
    const key = JSON.stringify(about);
    const before = this.#last.get(key) ?? null;
    this.#last.set(key, failure?.error ?? null);
    if ((failure?.error ?? null) === before) return;
    if (!failure) return log.info("reachable again", about);
    const { error, hint, isRefused = false } = failure;
    const what = isRefused ? "runs leave this storage out" : "unreachable";
    log.warning(what, { ...about, error, ...(hint && { hint }) });
  }
}

async function seeServer(
  context: JobContext,
  server: ServerConfig,
  listed: Map<string, readonly string[]>,
): Promise<Failure | null> {
  try {
    const look = async () => {
      await using connection = await connect(endpointOf(server));
      return await listDatabases(connection);
    };
    const limit = { clock: context.clock, signal: context.signal, durationMs: ANSWER_MS_MAX };
    const databases = await unlessLate(look(), limit, () => noAnswer("database"));
    const { chosen, idle } = chooseDatabases(databases, await withoutScratch(context, server));
    await context.catalog.overview.seeDatabases(server.name, chosen, context.clock.now().toISOString());
    listed.set(server.name, idle);
    return null;
  } catch (error) {
    if (error instanceof Pg321Error && error.code === "database")
      return { error: error.message, hint: error.hint };
    throw error;
  }
}

/** Records the databases of servers that are no longer in the config of any host as gone. */
async function forgetServers(context: JobContext): Promise<void> {
  const { catalog, clock, config } = context;
  const { others } = await ownershipOf(context);
  const known = new Set(
    [...config.server, ...others.flatMap(({ servers }) => servers)].map(({ name }) => name),
  );
  const kept = (await catalog.overview.databases()).filter(({ gone_at }) => gone_at === null);
  for (const server of new Set(kept.map((database) => database.server)))
    if (!known.has(server)) await catalog.overview.seeDatabases(server, [], clock.now().toISOString());
}

async function seeStorage(context: JobContext, storage: Storage): Promise<Failure | null> {
  const { catalog, clock, signal } = context;
  const nothing = { free_bytes: null, total_bytes: null };
  try {
    using time = deadline({ clock, signal, durationMs: ANSWER_MS_MAX }, () => noAnswer("storage"));
    const room = await unlessAborted(lookAt(context, storage, time.signal), time.signal);
    await catalog.overview.seeStorage(storage.name, { ...nothing, ...room, ...lookedAt(context, null) });
    return null;
  } catch (cause) {
    signal.throwIfAborted();
    const error = messageOf(cause);
    await catalog.overview.seeStorage(storage.name, { ...nothing, ...lookedAt(context, error) });
    return { error, hint: hintOf(cause), isRefused: cause instanceof StorageRefused };
  }
}

function noAnswer(code: "database" | "storage"): Pg321Error {
  return new Pg321Error(code, `no answer within ${ANSWER_MS_MAX / 1000} s`);
}

/**
 * Checks a storage with the smallest request, for one object; a local storage is asked for its free space. Both are
 * asked for their marker: if a disk is not mounted, the empty directory still answers.
 */
async function lookAt(context: JobContext, known: Storage, signal: AbortSignal) {
  const { catalog, clock } = context;
  const { settings } = known;
  if (settings.type === "local") {
    const call = { what: settings.path, limitMs: ANSWER_MS_MAX, signal };
    const { bsize, blocks, bavail } = await placeAt(settings.path).run(call, () => statfs(settings.path));
    await requireUsable(context, known, signal);
    return { free_bytes: bavail * bsize, total_bytes: blocks * bsize };
  }
  const latest = await catalog.overview.latestBackups(clock.now());
  const key = latest.find(({ good }) => good !== null)?.good?.object_key ?? NO_KEY;
  // A separate, silent storage: the failure is logged once, not at every attempt of every check.
  await using storage = await openStorage(settings, { log: silentLog, clock });
  await storage.head(key, signal);
  await requireUsable(context, storage, signal);
  return {};
}

/** Throws `StorageRefused` if runs would leave the storage out, because another one, or none, is in its place. */
async function requireUsable(context: JobContext, storage: Storage, signal: AbortSignal): Promise<void> {
  const { catalog, config, installation } = context;
  const { others } = await ownershipOf(context);
  const identities = await catalog.identities.all();
  const configured = config.storage.map(({ name }) => name);
  const known = { configured, identities, installation, isShared: catalog.isShared, others };
  const refused = await refusalAlone(storage, known, signal);
  if (refused) throw new StorageRefused(storage.name, refused.problem, refused.hint);
}

function lookedAt({ clock }: JobContext, check_error: string | null) {
  return { checked_at: clock.now().toISOString(), check_error };
}
