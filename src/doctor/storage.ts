import { stat } from "node:fs/promises";
import type { Clock } from "../base/clock.ts";
import { requireAnswer } from "../base/files/place.ts";
import { MINUTE_MS } from "../base/limits.ts";
import { silentLog } from "../base/log.ts";
import type { HostRecord } from "../catalog/hosts.ts";
import type { LockProbeRecord } from "../catalog/records.ts";
import type { StorageIdentity } from "../catalog/storages/identities.ts";
import type { Config, StorageConfig } from "../config/config.ts";
import { DEFAULT_CONFIG_PATH } from "../config/load.ts";
import { installedUnit } from "../install/packaged.ts";
import { refusalAlone } from "../jobs/markers/refusal-alone.ts";
import { openStorage } from "../storage/registry.ts";
import { clockText } from "../storage/s3/errors.ts";
import type { Storage } from "../storage/storage.ts";
import { lookAtStorageDirectory } from "./directories.ts";
import type { Seen } from "./finding.ts";
import { failed, ok, warning } from "./finding.ts";
import { lookAtImmutability } from "./immutability.ts";

/**
 * S3 refuses requests when the clock is off by 15 minutes; a clock that is off by this much is drifting towards that.
 */
const SKEW_MS_MAX = MINUTE_MS;

/** The catalog's facts about storages; empty if it cannot be read. */
export interface KnownStorages {
  configured: readonly string[];
  identities: readonly StorageIdentity[];
  installation: string | undefined;
  /** Whether other hosts may use the catalog: a path of theirs is another place. */
  isShared?: boolean;
  /** The other registered hosts. */
  others?: readonly Pick<HostRecord, "host" | "storages">[];
  /** The newest finished probe of each storage. */
  probes: readonly LockProbeRecord[];
}

/**
 * Asks for an object that does not exist and lists the first one. It writes nothing, so it does not prove that writing
 * works.
 */
export async function lookAtStorage(
  config: StorageConfig,
  known: KnownStorages,
  { clock, config: whole }: { clock: Clock; config: Pick<Config, "file"> },
  signal: AbortSignal,
): Promise<Seen[]> {
  const isService = whole.file === DEFAULT_CONFIG_PATH && installedUnit() !== undefined;
  if (config.type === "local" && isService && (await isMissing(config.path))) {
    // A directory that root makes by hand would belong to root.
    const hint = "mount its disk, or create it for the service: sudo pg321 install";
    return [failed("storage", `directory ${config.path} does not exist`, hint)];
  }
  // One attempt: report at once what is down.
  await using storage = await openStorage({ ...config, attempts: 1 }, { log: silentLog, clock });
  await storage.head("doctor/absent", signal);
  let isEmpty = true;
  for await (const _first of storage.list("", signal, { pageSize: 1 })) {
    isEmpty = false;
    break;
  }
  const unrecognized = await lookAtMarker(storage, known, signal);
  // An empty mount point is writable too: only the marker counts then.
  if (unrecognized.length > 0) return unrecognized;
  if (config.type === "local") return lookAtStorageDirectory(config.path, config.min_free_bytes);
  const traits = [
    isEmpty ? "holds nothing yet" : "holds objects",
    ...((await storage.traits?.(signal)) ?? []),
  ];
  const seen = [ok(`bucket "${config.bucket}" can be read and listed: ${traits.join(", ")}`)];
  const probe = known.probes.find((one) => one.storage === config.name);
  seen.push(...(await lookAtImmutability(config, storage, probe, signal)));
  const skewMs = storage.clockSkewMs();
  if (skewMs !== undefined && Math.abs(skewMs) > SKEW_MS_MAX) {
    seen.push(warning(clockText(skewMs), "set the clock: timedatectl set-ntp true"));
  }
  return seen;
}

async function isMissing(path: string): Promise<boolean> {
  await requireAnswer(path, path);
  return stat(path).then(
    () => false,
    (error: NodeJS.ErrnoException) => error.code === "ENOENT",
  );
}

/** The reason for which a run would refuse the storage; empty if it would not. */
async function lookAtMarker(storage: Storage, known: KnownStorages, signal: AbortSignal): Promise<Seen[]> {
  const { installation, isShared = false, others = [] } = known;
  // Before the first backup there is no expected marker.
  if (installation === undefined) return [];
  const refused = await refusalAlone(storage, { ...known, installation, isShared, others }, signal);
  return refused ? [failed("storage", refused.problem, refused.hint)] : [];
}
