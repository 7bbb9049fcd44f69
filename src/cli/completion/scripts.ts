import BASH from "./scripts/bash.txt" with { type: "text" };
import FISH from "./scripts/fish.txt" with { type: "text" };
import ZSH from "./scripts/zsh.txt" with { type: "text" };

export const SHELLS = ["bash", "zsh", "fish"] as const;
export type Shell = (typeof SHELLS)[number];

/** The completion script of each shell. They only pass the line on: `answer.ts` answers. */
export const SCRIPTS: Readonly<Record<Shell, string>> = { bash: BASH, zsh: ZSH, fish: FISH };
