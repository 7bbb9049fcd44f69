import type { RecoveryKitRecord } from "../catalog/recovery-kits.ts";
import type { Config } from "../config/config.ts";
import { kitFingerprint } from "../jobs/kit-fingerprint.ts";
import type { Seen } from "./finding.ts";
import { ok, warning } from "./finding.ts";

const HINT = "sudo pg321 recovery-kit DIR; print it, or keep it with the identity, away from this host";

/** Whether a recovery kit was made, and fits the storages and keys of the config. `last`: null if none was made. */
export function lookAtRecoveryKit(config: Config, last: RecoveryKitRecord | null): Seen[] {
  const subject = "recovery-kit";
  if (last === null)
    return [{ subject, ...warning("never made: nothing says how to restore without pg321", HINT) }];
  const madeAt = last.made_at.slice(0, 19).replace("T", " ");
  if (last.fingerprint === kitFingerprint(config))
    return [{ subject, ...ok(`made ${madeAt} UTC; storages and keys are unchanged since`) }];
  return [{ subject, ...warning(`storages or keys have changed since it was made (${madeAt} UTC)`, HINT) }];
}
