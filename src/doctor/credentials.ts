import { readFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { exists } from "../base/files/missing.ts";
import type { Seen } from "./finding.ts";
import { warning } from "./finding.ts";

/** Where systemd keeps the copies for the running service; gone while the service is stopped. */
const HANDED_OVER = "/run/credentials/pg321.service";
/** The directory that the unit loads (`LoadCredential=pg321:…`), and the start of the names of its copies. */
const LOADED = "/etc/pg321/credentials";
const PREFIX = "pg321_";

/**
 * Credentials of the config that differ from the copies of the running service, which systemd makes when the service
 * starts. Needs root, who alone can read both. Finds nothing if the service is stopped.
 */
export async function lookAtCredentials(
  files: readonly string[],
  { handedOver = HANDED_OVER, loaded = LOADED } = {},
): Promise<Seen[]> {
  if (!(await exists(handedOver))) return [];
  const seen = files
    .filter((file) => dirname(file) === loaded)
    .map(async (file) => {
      const name = basename(file);
      // The unit loads this one by its name, from a place that only systemd knows.
      if (await exists(join(handedOver, name))) return [];
      const [now, copy] = await Promise.all([bytesOf(file), bytesOf(join(handedOver, `${PREFIX}${name}`))]);
      if (now === undefined || (copy !== undefined && now.equals(copy))) return [];
      const hint = "systemd passes credentials on only when the service starts: systemctl restart pg321";
      const what =
        copy === undefined
          ? `credential "${name}" is newer than the start of the service: a reload of this config will be refused`
          : `credential "${name}" has changed since the start of the service, which still uses the old value`;
      return [warning(what, hint)];
    });
  return (await Promise.all(seen)).flat();
}

async function bytesOf(path: string): Promise<Buffer | undefined> {
  return readFile(path).catch(() => undefined);
}
