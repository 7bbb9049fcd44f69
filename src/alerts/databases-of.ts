import type { AlertRecord } from "../catalog/records.ts";

/** The databases (`main/app`) that an alert about a storage is about. */
export function databasesOf({ metadata }: Pick<AlertRecord, "metadata">): string[] {
  const { databases } = metadata;
  return Array.isArray(databases) ? databases.filter((name) => typeof name === "string") : [];
}
