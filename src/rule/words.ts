import type { Mark, MarkState, RuleName } from "./facts.ts";

const NAMES: Readonly<Record<RuleName, (demanded: number) => string>> = {
  copies: (demanded) => `${demanded} ${demanded === 1 ? "copy" : "copies"}`,
  kinds: (demanded) => `${demanded} ${demanded === 1 ? "kind" : "kinds"} of storage`,
  off_site: (demanded) => `${demanded} off-site`,
  immutable: (demanded) => `${demanded} immutable`,
  zero_errors: () => "0 errors",
};

/** A mark in words: `3 copies`, `1 off-site`. */
export function markName({ rule, demanded }: Pick<Mark, "rule" | "demanded">): string {
  return NAMES[rule](demanded);
}

/** A state in words. */
export const STATE_WORDS: Readonly<Record<MarkState, string>> = {
  held: "held",
  lost: "lost",
  not_set_up: "not set up",
  not_demanded: "not demanded",
};
