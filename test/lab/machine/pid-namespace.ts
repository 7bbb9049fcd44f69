import type { Subprocess } from "bun";
import type { Installation } from "../installation.ts";
import { ended, startProgram } from "../installation.ts";

/** A PID namespace, as in a container: other process ids, but the same host name and files. It ends with `unshare`. */
const UNSHARE = ["unshare", "--pid", "--fork", "--kill-child=KILL", "--mount-proc"];

/** Why no PID namespace can be made here; undefined if one can. */
export const noNamespaceReason: string | undefined = findReason();

function findReason(): string | undefined {
  if (Bun.which("unshare") === null) return "unshare not found: apt-get install util-linux";
  const tried = Bun.spawnSync([...UNSHARE, "true"]);
  return tried.success ? undefined : `no PID namespaces here: ${tried.stderr.toString().trim()}`;
}

/** Starts a command of the program as process 1 of a new PID namespace. */
export function startContained(
  { configFile }: Installation,
  ...words: string[]
): Subprocess<"ignore", "pipe", "pipe"> {
  return startProgram(words, { PG321_CONFIG: configFile }, UNSHARE);
}

/** Runs a command like that to its end. */
export async function runContained(installation: Installation, ...words: string[]) {
  return ended(startContained(installation, ...words));
}
