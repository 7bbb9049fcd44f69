import { hostname } from "node:os";
import * as v from "valibot";
import type { FleetConfig } from "../config.ts";
import { age, choice, text } from "./leaf.ts";
import { table } from "./table.ts";

/** The longest name that Linux gives a machine. */
const NAME_CHARACTERS_MAX = 64;

/** The `[fleet]` table. */
export const fleetSchema = v.pipe(
  table("the [fleet] table", {
    host: v.optional(
      text(
        `a name of up to ${NAME_CHARACTERS_MAX} letters, digits, dots, _ and -, which starts with a letter or digit`,
        /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/,
      ),
    ),
    workers: v.optional(choice(["own", "any"]), "own"),
    silent_after: v.optional(age("2m"), "5m"),
  }),
  v.transform(
    ({ host, workers, silent_after }): FleetConfig => ({
      host: host ?? hostNameOf(hostname()),
      workers,
      silent_after_ms: silent_after,
    }),
  ),
);

/** The name of the machine as a name of a host of the fleet: the kernel accepts any bytes. */
export function hostNameOf(machine: string): string {
  const name = machine
    .replace(/[^A-Za-z0-9._-]+/g, "-")
    .replace(/^[^A-Za-z0-9]+/, "")
    .slice(0, NAME_CHARACTERS_MAX);
  return name === "" ? "localhost" : name;
}
