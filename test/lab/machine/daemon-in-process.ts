import { silentLog } from "../../../src/base/log.ts";
import type { Catalog } from "../../../src/catalog/catalog.ts";
import { openCatalog, spoolOf } from "../../../src/catalog/open.ts";
import { loadConfig } from "../../../src/config/load.ts";
import { Daemon } from "../../../src/daemon/daemon.ts";
import { holdDaemonLease } from "../../../src/daemon/daemon-lease.ts";
import { silentProgress } from "../../../src/jobs/progress.ts";
import type { Installation } from "../installation.ts";
import type { JumpingClock } from "./jumping-clock.ts";

export interface DaemonInProcess extends AsyncDisposable {
  daemon: Daemon;
  catalog: Catalog;
}

/** The daemon of an installation in the process of the test, whose clock the test moves. `seen`: the catalog as the daemon sees it. */
export async function daemonInProcess(
  installation: Installation,
  clock: JumpingClock,
  seen: (catalog: Catalog) => Catalog = (catalog) => catalog,
): Promise<DaemonInProcess> {
  const loaded = () => loadConfig(installation.configFile, { env: {} });
  const config = await loaded();
  const catalog = seen(await openCatalog(config.catalog, { clock, spool: spoolOf(config) }));
  const signal = new AbortController().signal;
  const self = { host: config.fleet.host, pid: process.pid };
  const lease = await holdDaemonLease(catalog, self, { clock, signal, onWait: () => {} });
  const daemon = await Daemon.open({
    ...{ config, catalog, lease, clock },
    log: silentLog,
    progress: silentProgress,
    isService: false,
    watchdogPauseMs: undefined,
    notify: () => {},
    loadConfig: loaded,
    onConfig: async () => {},
    onReload: async () => {},
  });
  const stop = new AbortController();
  const running = daemon.run(stop.signal);
  return {
    ...{ daemon, catalog },
    async [Symbol.asyncDispose]() {
      stop.abort(new Error("the test is over"));
      await running;
      await lease[Symbol.asyncDispose]();
      await catalog[Symbol.asyncDispose]();
    },
  };
}
