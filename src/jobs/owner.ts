import { Pg321Error } from "../base/errors.ts";
import type { Config } from "../config/config.ts";

/**
 * Refuses (code `usage`) a job that changes backups on a host without a `[[server]]`: it holds the records of another
 * host's backups, but neither its retention nor all of its knowledge.
 */
export function requireOwner(job: string, { server }: Pick<Config, "server">): void {
  if (server.length > 0) return;
  throw new Pg321Error("usage", `${job}: this host has no [[server]]: it only tests another host's backups`, {
    hint: `run pg321 ${job} on the host that makes the backups`,
  });
}
