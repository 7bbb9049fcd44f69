import type { Clock } from "../base/clock.ts";
import { silentLog } from "../base/log.ts";
import type { Catalog } from "../catalog/catalog.ts";
import { catalogText, openCatalog } from "../catalog/open.ts";
import type { LockProbeRecord } from "../catalog/records.ts";
import type { Config, StorageConfig } from "../config/config.ts";
import { probeLock } from "../jobs/copies/lock-probe.ts";
import { storageImmutability } from "../storage/immutability.ts";
import { openStorage } from "../storage/registry.ts";
import type { Storage } from "../storage/storage.ts";
import type { Finding, Seen } from "./finding.ts";
import { failed, look, ok, seenOf, warning } from "./finding.ts";

const HINT = "docs/immutability.md explains what each provider offers";

interface ProbeOptions {
  config: Config;
  clock: Clock;
  signal: AbortSignal;
}

/** Probes each storage whose settings promise immutable copies, and records the results in the catalog. */
export async function probeLocks(options: ProbeOptions): Promise<Finding[]> {
  const { config, clock } = options;
  const storages = config.storage.filter((one) => storageImmutability(one, undefined).isWanted);
  if (storages.length === 0) {
    const nothing = warning("no storage has lock, immutable or a lifecycle rule: nothing to probe", HINT);
    return [{ area: "storage", subject: "immutability", ...nothing }];
  }
  const place = catalogText(config.catalog);
  try {
    await using catalog = await openCatalog(config.catalog, { clock });
    const found: Finding[] = [];
    for (const storage of storages)
      found.push(
        ...(await look({ area: "storage", subject: storage.name, code: "storage" }, options, (signal) =>
          probeOne(storage, catalog, clock, signal),
        )),
      );
    return found;
  } catch (error) {
    options.signal.throwIfAborted();
    return [{ area: "catalog", subject: place, ...seenOf(error, place, "storage") }];
  }
}

async function probeOne(
  config: StorageConfig,
  catalog: Catalog,
  clock: Clock,
  signal: AbortSignal,
): Promise<Seen[]> {
  await using storage = await openStorage({ ...config, attempts: 1 }, { log: silentLog, clock });
  const probe = await probeLock({ catalog, clock, signal }, storage);
  if (!probe) return [];
  const { refused, object_key, message } = probe;
  if (refused) return [ok(`refused to delete the probe object ${object_key}: ${message}`)];
  return [failed("storage", `a probe object was not protected: ${message}`, HINT)];
}

/** What a storage's settings promise about its copies, and whether a probe and the bucket agree. */
export async function lookAtImmutability(
  config: StorageConfig,
  storage: Storage,
  probe: LockProbeRecord | undefined,
  signal: AbortSignal,
): Promise<Seen[]> {
  const { isWanted, isImmutable, sentence, nextStep } = storageImmutability(config, probe);
  if (!isWanted) return [];
  if (config.type === "s3" && config.lock) {
    const { lock, problem, isEverywhere } = await storage.lock("doctor/absent", undefined, signal);
    if (!lock && isEverywhere)
      return [warning(`copies will not be immutable, although lock is set: ${problem}`, HINT)];
  }
  return [isImmutable ? ok(sentence) : warning(sentence, nextStep)];
}
