import type { Clock } from "../base/clock.ts";
import type { Log } from "../base/log.ts";
import type { StorageConfig } from "../config/config.ts";
import { LocalStorage } from "./local.ts";
import { S3Storage } from "./s3.ts";
import type { Storage } from "./storage.ts";

/** Opens a storage by the one list of drivers there is. Nothing is read or sent yet. */
export function openStorage(config: StorageConfig, deps: { log: Log; clock: Clock }): Storage {
  switch (config.type) {
    case "local":
      return new LocalStorage(config);
    case "s3":
      return new S3Storage(config, deps);
  }
}
