import type { RetentionInput, RetentionPlan } from "./facts.ts";

export type * from "./facts.ts";

export function planRetention(input: RetentionInput): RetentionPlan {
  throw new Error(`not yet written: ${input.timezone}`);
}
