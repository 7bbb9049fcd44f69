import type { HookKind } from "../../config/database/hooks.ts";

/** One run of a hook, as recorded with the backup. */
export interface HookRun {
  name: string;
  outcome: "OK" | "FAILED";
  /** Null: SQL, or it was ended. */
  exit_code: number | null;
  duration_ms: number;
  /** The end of its output, without known secrets; of SQL, the rows of the answers. */
  output: string;
  /** `hook pre_backup "x" failed: exit code 3: …`, with the last line of the output; null: it succeeded. */
  error: string | null;
  /** The same without output and values of rows, for the backup's error and alerts: they leave this host. */
  summary: string | null;
}

export type HookRuns = Record<HookKind, HookRun[]>;

/** The hooks that ran around a backup; undefined if there were none. */
export function hookRunsOf({ hooks }: { hooks?: string | null }): HookRuns | undefined {
  return hooks == null ? undefined : (JSON.parse(hooks) as HookRuns);
}
