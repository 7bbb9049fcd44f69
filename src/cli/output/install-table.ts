import { Pg321Error } from "../../base/errors.ts";
import { visibleData } from "../../base/text/visible.ts";
import { DEFAULT_CONFIG_PATH } from "../../config/load.ts";
import type { InstallStep } from "../../install/steps.ts";
import type { Invocation } from "../command.ts";
import { textOption } from "../command.ts";
import type { Style } from "./output.ts";
import { table } from "./output.ts";

/** Throws code `usage` if the user is not root, or if --config names a file that the service would not read. */
export function requireRoot(command: string, { arguments: args }: Invocation): void {
  const config = textOption(args, "config");
  if (config !== undefined && config !== DEFAULT_CONFIG_PATH) {
    throw new Pg321Error(
      "usage",
      `${command}: --config is ${config}, but the service reads ${DEFAULT_CONFIG_PATH}`,
      {
        hint: "omit --config; for another file, write a systemd drop-in with Environment=PG321_CONFIG=…",
      },
    );
  }
  if (process.getuid?.() === 0) return;
  throw new Pg321Error("usage", `${command}: must run as root, even with --dry-run`, {
    hint: `sudo pg321 ${command}`,
  });
}

const STATE_TEXT: Record<InstallStep["state"], string> = {
  right: "ok",
  done: "done",
  planned: "to do",
  attention: "attention",
  kept: "kept",
};

/** One line for each step. */
export function stepTable(steps: readonly InstallStep[], style: Style): string {
  const shown = {
    right: style.dim,
    done: style.good,
    planned: style.warn,
    attention: style.bad,
    kept: style.dim,
  };
  return table(
    visibleData([...steps]),
    [
      { title: "STEP", cell: ({ state }) => shown[state](STATE_TEXT[state]) },
      { title: "WHAT", cell: ({ what }) => what },
      { title: "DETAIL", cell: ({ detail }) => detail },
    ],
    style,
  );
}
