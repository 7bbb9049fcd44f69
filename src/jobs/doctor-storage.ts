import type { Clock } from "../base/clock.ts";
import { silentLog } from "../base/log.ts";
import type { StorageConfig } from "../config/config.ts";
import { openStorage } from "../storage/registry.ts";
import { clockText } from "../storage/s3-errors.ts";
import { lookAtStorageDirectory } from "./doctor-directories.ts";
import type { Seen } from "./doctor-finding.ts";
import { ok, warning } from "./doctor-finding.ts";

/** S3 refuses requests at 15 minutes; a clock that is off by this much is on its way there. */
const SKEW_MS_MAX = 60_000;

/** Asks for an object that is not there and for the first that is: nothing is written, so writing is not proved. */
export async function lookAtStorage(
  config: StorageConfig,
  clock: Clock,
  signal: AbortSignal,
): Promise<Seen[]> {
  // One try: what is down now is told now.
  await using storage = await openStorage({ ...config, attempts: 1 }, { log: silentLog, clock });
  await storage.head("doctor/absent", signal);
  let isEmpty = true;
  for await (const _first of storage.list("", signal)) {
    isEmpty = false;
    break;
  }
  if (config.type === "local") return lookAtStorageDirectory(config.path, config.min_free);
  const traits = [
    isEmpty ? "holds nothing yet" : "holds objects",
    ...((await storage.traits?.(signal)) ?? []),
  ];
  const seen = [ok(`bucket "${config.bucket}" can be read and listed: ${traits.join(", ")}`)];
  const skewMs = storage.clockSkewMs();
  if (skewMs !== undefined && Math.abs(skewMs) > SKEW_MS_MAX) {
    seen.push(warning(clockText(skewMs), "set the clock: timedatectl set-ntp true"));
  }
  return seen;
}
