import { kitFingerprint } from "../jobs/kit-fingerprint.ts";
import type { RecoveryKitStatus, StatusReport } from "./report.ts";
import type { StatusSource } from "./source.ts";

/** When a recovery kit was made, and whether it still fits; null if none was made. */
export async function recoveryKitStatus({
  catalog,
  config,
}: StatusSource): Promise<RecoveryKitStatus | null> {
  const last = await catalog.recoveryKits.last();
  if (last === undefined) return null;
  return { made_at: last.made_at, is_current: last.fingerprint === kitFingerprint(config) };
}

/** A kit that was never made is no problem of the backups: `doctor` asks for it. */
export function recoveryKitProblems({
  recovery_kit,
}: Pick<StatusReport, "recovery_kit">): { level: "warning"; text: string }[] {
  // A daemon of an older version does not report it.
  if (recovery_kit?.is_current !== false) return [];
  const text = "the recovery kit is older than a change of storages or keys: make it again";
  return [{ level: "warning", text }];
}

/** A line for people; empty if no kit was made. */
export function recoveryKitLines(
  { recovery_kit }: Pick<StatusReport, "recovery_kit">,
  time: (at: string) => string,
): string[] {
  if (!recovery_kit) return [];
  const { made_at, is_current } = recovery_kit;
  const end = is_current
    ? ""
    : ", before a change of storages or keys: pg321 recovery-kit DIR makes it again";
  return [`recovery kit made at ${time(made_at)}${end}`];
}
