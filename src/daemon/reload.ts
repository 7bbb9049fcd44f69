import { raiseAlert, resolveAlert } from "../alerts/alert.ts";
import type { AlertContext } from "../alerts/alert-context.ts";
import { messageOf, Pg321Error } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import { catalogText } from "../catalog/open.ts";
import type { CatalogConfig, Config } from "../config/config.ts";
import { ConfigError, problemText } from "../config/problems.ts";
import { missingReadableFiles, missingWritablePaths, readOnlyPaths } from "../install/writable-paths.ts";
import { REFUSAL_HINT, refusalText } from "./reload-verdict.ts";

/**
 * Throws code `usage` if a new config has another catalog or another name of this host: the records of running runs are
 * in the old catalog, and the daemon's lease is under the old name.
 */
export function refuseFixedChange(before: Config, after: Config): void {
  const refuse = (change: string) => {
    throw new Pg321Error("usage", `${after.file}: ${change} while the daemon runs`, {
      hint: "restart the daemon: systemctl restart pg321",
    });
  };
  if (!isSameCatalog(before.catalog, after.catalog))
    refuse(`the catalog cannot be changed (to ${catalogText(after.catalog)})`);
  if (before.fleet.host !== after.fleet.host)
    refuse(`fleet.host cannot be changed (from ${before.fleet.host} to ${after.fleet.host})`);
}

function isSameCatalog(before: CatalogConfig, after: CatalogConfig): boolean {
  if (before.type === "sqlite" || after.type === "sqlite")
    return before.type === "sqlite" && after.type === "sqlite" && before.path === after.path;
  return before.url.reveal() === after.url.reveal();
}

/** The mistakes for which a config was refused, one each. */
export function mistakesIn(error: unknown): string[] {
  if (error instanceof ConfigError) return error.problems.map((problem) => problemText(error.file, problem));
  return [messageOf(error)];
}

/** The key of the alert about a config that was refused. */
const RELOAD_KEY = "reload";

/** Raises the alert about a refused config with its mistakes, or resolves it if there are none. Never throws. */
export async function alertReload(context: AlertContext, errors: readonly string[]): Promise<void> {
  if (errors.length === 0) return resolveAlert(context, RELOAD_KEY, "the daemon has loaded a valid config");
  await raiseAlert(context, {
    level: "WARNING",
    job: "backup",
    run_id: null,
    server: null,
    database: null,
    key: RELOAD_KEY,
    message: refusalText(errors),
    metadata: { errors, hint: REFUSAL_HINT },
  });
}

/** Warns about directories in the config that the unit's sandbox makes read-only for the daemon. Never throws. */
export async function warnOfClosedPaths(config: Config, log: Log): Promise<void> {
  try {
    const closed = new Set([...(await missingWritablePaths(config)), ...(await readOnlyPaths(config))]);
    for (const path of closed)
      log.warning(
        "the service may not write to this directory of the config: run pg321 install, then restart the service",
        {
          path,
        },
      );
    for (const path of await missingReadableFiles(config))
      log.warning("the service cannot see this file of the config: run pg321 install, then restart it", {
        path,
      });
  } catch (error) {
    log.warning("the unit's drop-ins could not be read", { error: messageOf(error) });
  }
}
