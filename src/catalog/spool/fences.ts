import type { Fence } from "../fence.ts";
import type { Call } from "./calls.ts";

/** Which argument of a method is its fence. */
const FENCE_AT: Readonly<Record<string, number>> = {
  insertBackup: 1,
  updateBackup: 2,
  removeBackup: 1,
  putCopy: 1,
  putCopies: 1,
  updateCopy: 3,
  add: 1,
};

export function fenceOf({ method, args }: Call): Fence | undefined {
  const at = FENCE_AT[method];
  return at === undefined ? undefined : (args[at] as Fence | undefined);
}

export function withFence(call: Call, fence: Fence | undefined): Call {
  const at = FENCE_AT[call.method];
  if (at === undefined || call.args[at] === undefined) return call;
  const args = [...call.args.slice(0, at), ...(fence === undefined ? [] : [fence])];
  return { ...call, args };
}
