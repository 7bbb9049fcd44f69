import type { DeliveryContext } from "../alerts/alert-context.ts";
import type { Clock } from "../base/clock.ts";
import type { Log } from "../base/log.ts";
import type { Catalog } from "../catalog/catalog.ts";
import { ownView } from "../catalog/fleet/host-view.ts";
import { openCatalog, spoolOf } from "../catalog/open.ts";
import type { RunRecord } from "../catalog/records.ts";
import type { Config, UnusableTable } from "../config/config.ts";
import { UNUSABLE_HINT } from "../config/set-aside.ts";
import { StorageRefused, UnusableStorage } from "../storage/refused.ts";
import { openStorage } from "../storage/registry.ts";
import type { Storage } from "../storage/storage.ts";
import type { KeySources, Keys } from "./keys.ts";
import { loadKeys } from "./keys.ts";
import type { ProgressListener } from "./progress.ts";
import { prepareTempDir } from "./temp-dir.ts";

/** Everything that a job needs. */
export interface JobContext extends DeliveryContext, AsyncDisposable {
  /** In the order of the config. */
  storages: readonly Storage[];
  keys: Keys;
  pid: number;
  progress: ProgressListener;
  /**
   * The schedule that started the runs of this context; undefined if a person did. `began` is called once the run is
   * recorded.
   */
  schedule?: { name: string; dueAt: Date; began?: (run: RunRecord) => void };
}

export interface ContextOptions extends KeySources {
  config: Config;
  log: Log;
  clock: Clock;
  signal: AbortSignal;
  progress: ProgressListener;
  /** A catalog that is already open; it is not closed with the context. */
  catalog?: Catalog;
}

/** Opens catalog, storages and keys. If one of them throws, nothing stays open. */
export async function openContext(options: ContextOptions): Promise<JobContext> {
  const { config, log, clock, signal, progress } = options;
  await using opened = new AsyncDisposableStack();
  const keys = await loadKeys(config.encryption, options);
  await prepareTempDir(config.temp_dir, log, signal);
  const tools = { clock, log, spool: spoolOf(config) };
  const shared = options.catalog ?? opened.use(await openCatalog(config.catalog, tools));
  const catalog = ownView(shared, config);
  const storages: Storage[] = [];
  for (const settings of config.storage) {
    const storage = opened.use(await openStorage(settings, { log, clock }));
    const unusable = config.unusable.find(({ kind, name }) => kind === "storage" && name === settings.name);
    storages.push(unusable ? new UnusableStorage(storage, unusableReason(unusable)) : storage);
  }
  const installation = await installationOf(catalog, keys);
  const all = opened.move();
  return {
    config,
    catalog,
    storages,
    keys,
    installation,
    log,
    clock,
    signal,
    host: config.fleet.host,
    pid: process.pid,
    progress,
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  };
}

function unusableReason({ name, reason }: UnusableTable): StorageRefused {
  return new StorageRefused(name, `not usable: ${reason}`, UNUSABLE_HINT);
}

/**
 * The id in the catalog. A new catalog gets the id from the keys: after the loss of the catalog, and even of the signing
 * key, the identity alone is enough to continue as the same installation.
 */
async function installationOf(catalog: Catalog, keys: Keys): Promise<string> {
  const known = await catalog.installation();
  if (known !== undefined) return known;
  const named = keys.signingKey?.installation ?? (await keys.identity())?.installation;
  return catalog.belongTo(named ?? crypto.randomUUID());
}
