import type { Clock } from "../base/clock.ts";
import type { Log } from "../base/log.ts";
import type { StorageConfig } from "../config/config.ts";
import { rateLimited } from "./rate-limit.ts";
import type { Storage } from "./storage.ts";

/**
 * Opens a storage. This is the only list of drivers. Nothing is read or sent yet. A driver is loaded when it is
 * first needed: the S3 client costs 23 MB and 70 ms, which a host with local storages only need not pay.
 */
export async function openStorage(config: StorageConfig, deps: { log: Log; clock: Clock }): Promise<Storage> {
  const storage = await openDriver(config, deps);
  const { rate_limit_bytes_per_second: limit } = config;
  return limit > 0 ? rateLimited(storage, limit, deps.clock) : storage;
}

async function openDriver(config: StorageConfig, deps: { log: Log; clock: Clock }): Promise<Storage> {
  switch (config.type) {
    case "local": {
      const { LocalStorage } = await import("./local/local.ts");
      return new LocalStorage(config);
    }
    case "s3": {
      const { S3Storage } = await import("./s3/s3.ts");
      return new S3Storage(config, deps);
    }
  }
}
