import { Pg321Error } from "../base/errors.ts";

/**
 * What a run shows when it writes under a lease. Each time a lease is taken it gets a higher token, so a run that lost
 * its lease, and does not know it yet, cannot write any more: its process or host was suspended, for example.
 */
export interface Fence {
  /** The name of the lease. */
  readonly name: string;
  readonly token: number;
}

export function lostLease(name: string, cause?: unknown): Pg321Error {
  return new Pg321Error("locked", `${name}: the lease was lost while the job ran`, {
    hint: "this host may have been suspended, or the catalog unreachable for a minute; run the job again",
    cause,
  });
}
