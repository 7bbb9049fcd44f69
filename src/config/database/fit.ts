import type { StorageConfig } from "../config.ts";
import type { Report } from "../schema/table.ts";
import { isTable } from "../schema/values.ts";
import type { DatabaseConfig } from "./config.ts";

/** The checks of `[[database]]` tables against the servers and storages of the config, valid or not. */
export function databasesFit(
  { database, server, storage }: Readonly<Record<string, unknown>>,
  report: Report,
): void {
  const [servers, storages] = [namesIn(server), namesIn(storage)];
  const archives = tablesIn(storage).flatMap(({ expire }) =>
    isTable(expire) && typeof expire["archive_to"] === "string" ? expire["archive_to"] : [],
  );
  for (const [index, entry] of tablesIn(database).entries()) {
    const named = entry["server"];
    if (typeof named === "string" && !servers.includes(named))
      report(
        ["database", index, "server"],
        `found "${named}", expected the name of a [[server]]${listed(servers)}`,
      );
    const chosen = Array.isArray(entry["storages"]) ? entry["storages"] : [];
    for (const [at, name] of chosen.entries()) {
      const path = ["database", index, "storages", at] as const;
      if (typeof name !== "string") continue;
      if (!storages.includes(name))
        report(path, `found "${name}", expected the name of a [[storage]]${listed(storages)}`);
      else if (archives.includes(name))
        report(path, `found the archive "${name}", which gets copies only from the storage that names it`);
    }
  }
}

/** The checks of `keep` against the storages that it holds for, once both are valid. */
export function databaseKeepsFit(
  databases: readonly DatabaseConfig[],
  storages: readonly StorageConfig[],
  report: Report,
): void {
  const archives = storages.flatMap(({ expire }) => (typeof expire === "object" ? expire.archive_to : []));
  for (const [index, { keep, storages: chosen }] of databases.entries()) {
    if (keep === undefined) continue;
    for (const storage of storages) {
      if (archives.includes(storage.name) || (chosen && !chosen.includes(storage.name))) continue;
      const problem = keepProblem(keep.days, storage);
      if (problem !== undefined) report(["database", index, "keep"], problem);
    }
  }
}

function keepProblem(days: number, storage: StorageConfig): string | undefined {
  const { name, expire } = storage;
  if (expire === "provider-lifecycle")
    return `storage "${name}" leaves its deletions to the provider's lifecycle rule, which knows no databases: leave it out with storages, or remove keep`;
  const lock = storage.type === "s3" ? storage.lock : undefined;
  if (lock && !lock.longer_than_retention && lock.days > days)
    return `days is ${days}, less than lock.days (${lock.days}) of storage "${name}": expired copies could not be deleted before their lock ends; raise it, or set lock.longer_than_retention = true there`;
  return undefined;
}

function tablesIn(value: unknown): Record<string, unknown>[] {
  return Array.isArray(value) ? value.map((entry) => (isTable(entry) ? entry : {})) : [];
}

function namesIn(value: unknown): string[] {
  return tablesIn(value).flatMap(({ name }) => (typeof name === "string" ? name : []));
}

function listed(names: readonly string[]): string {
  return names.length === 0 ? "" : `: ${names.map((name) => JSON.stringify(name)).join(", ")}`;
}
