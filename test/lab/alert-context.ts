import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { AlertRequest } from "../../src/alerts/alert.ts";
import type { DeliveryContext } from "../../src/alerts/alert-context.ts";
import { silentLog } from "../../src/base/log.ts";
import type { Catalog } from "../../src/catalog/catalog.ts";
import { openCatalog } from "../../src/catalog/open.ts";
import type { NotifyConfig } from "../../src/config/config.ts";
import { loadToml, MINIMAL } from "../fixtures/config-file.ts";
import { ManualClock } from "./manual-clock.ts";

export interface AlertLab extends DeliveryContext, AsyncDisposable {
  clock: ManualClock;
  /** Closes the catalog and opens it again, as after a restart. */
  restart(): Promise<void>;
}

/** A context for alerts and deliveries: a real catalog on disk, and a manual clock. */
export async function alertLab(...notify: NotifyConfig[]): Promise<AlertLab> {
  const directory = await mkdtemp(join(tmpdir(), "pg321-alerts-"));
  const clock = new ManualClock();
  const open = () => openCatalog({ type: "sqlite", path: join(directory, "catalog.db") }, { clock });
  let catalog: Catalog = await open();
  return {
    get catalog() {
      return catalog;
    },
    clock,
    config: { ...(await loadToml(MINIMAL)), notify },
    host: "here",
    installation: "0a0a0a0a-0000-4000-8000-000000000000",
    log: silentLog,
    signal: new AbortController().signal,
    async restart() {
      await catalog[Symbol.asyncDispose]();
      catalog = await open();
    },
    async [Symbol.asyncDispose]() {
      await catalog[Symbol.asyncDispose]();
      await rm(directory, { recursive: true });
    },
  };
}

export function alertRequest(change: Partial<AlertRequest> = {}): AlertRequest {
  return {
    level: "CRITICAL",
    job: "backup",
    run_id: null,
    server: "main",
    database: "app",
    key: "backup main/app",
    message: "backup of main/app failed: connection refused",
    metadata: { dump_bytes: 0 },
    ...change,
  };
}
