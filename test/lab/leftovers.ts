import { existsSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { ListMultipartUploadsCommand, ListObjectsV2Command } from "@aws-sdk/client-s3";
import { systemClock } from "../../src/base/clock.ts";
import { fateOf } from "../../src/base/process/identity.ts";
import type { Catalog } from "../../src/catalog/catalog.ts";
import { openCatalog } from "../../src/catalog/open.ts";
import { MARK } from "../../src/jobs/temp-dir.ts";
import { MARKER_KEY } from "../../src/storage/marker.ts";
import type { Installation } from "./installation.ts";
import type { S3Lab } from "./servers/s3.ts";

/** The place of an installation's copies, as the test sees it without pg321. */
export type Place = { name: string; directory: string } | { name: string; lab: S3Lab; bucket: string };

/** Every key except that of the storage's marker, which always stays. */
export async function keysIn(place: Place): Promise<string[]> {
  return (await allKeysIn(place)).filter((key) => key !== MARKER_KEY);
}

async function allKeysIn(place: Place): Promise<string[]> {
  if ("directory" in place) {
    const entries = await readdir(place.directory, { recursive: true, withFileTypes: true });
    return entries
      .filter((entry) => !entry.isDirectory())
      .map((entry) => join(entry.parentPath, entry.name).slice(place.directory.length + 1))
      .sort();
  }
  const { Contents = [] } = await place.lab.client.send(new ListObjectsV2Command({ Bucket: place.bucket }));
  return Contents.map(({ Key = "" }) => Key.replace(/^pg321\//, "")).sort();
}

export async function uploadsIn(place: Place): Promise<string[]> {
  if ("directory" in place) return [];
  const { Uploads = [] } = await place.lab.client.send(
    new ListMultipartUploadsCommand({ Bucket: place.bucket }),
  );
  return Uploads.map(({ Key = "" }) => Key.replace(/^pg321\//, ""));
}

export async function withCatalog<T>(
  installation: Installation,
  read: (catalog: Catalog) => Promise<T>,
): Promise<T> {
  await using catalog = await catalogOf(installation);
  return await read(catalog);
}

export function catalogOf({ directory }: Installation): Promise<Catalog> {
  const path = join(directory, "state/catalog.db");
  return openCatalog({ type: "sqlite", path }, { clock: systemClock });
}

/**
 * Finds everything that no run may leave behind: open uploads, temporary files, an object without its manifest or a
 * manifest without its object, objects that no record confirms, confirmed copies that do not exist, open records, and
 * leases of live runs. `foreign` keys do not belong to pg321: all their objects must exist, and their uploads may be
 * open.
 */
export async function leftovers(
  installation: Installation,
  places: readonly Place[],
  foreign: readonly string[] = [],
): Promise<string[]> {
  const temporary = join(installation.directory, "state/tmp");
  const found: string[] = [];
  if (existsSync(temporary)) {
    for (const name of await readdir(temporary)) if (name !== MARK) found.push(`temporary ${name}`);
  }
  const confirmed = await withCatalog(installation, async (catalog) => {
    for (const lease of await catalog.leases())
      if (fateOf(lease) === "alive") found.push(`lease ${lease.name}`);
    for (const run of await catalog.runs({ outcome: "RUNNING" })) found.push(`open run: ${run.job}`);
    const backups = await catalog.backups({});
    for (const { id, status } of backups) if (status === "RUNNING") found.push(`open backup ${id}`);
    const copies = (await Promise.all(backups.map(({ id }) => catalog.copies(id)))).flat();
    for (const { storage, state } of copies) if (state === "INTENDED") found.push(`open intent: ${storage}`);
    return copies.filter(({ state }) => state === "CONFIRMED");
  });
  for (const place of places) {
    for (const key of (await uploadsIn(place)).filter((one) => !foreign.includes(one)))
      found.push(`${place.name}: upload ${key}`);
    const keys = await keysIn(place);
    const recorded = confirmed.filter(({ storage }) => storage === place.name);
    const expected = recorded.flatMap(({ object_key }) => [object_key, `${object_key}.json`]).concat(foreign);
    for (const key of keys) if (!expected.includes(key)) found.push(`${place.name}: has ${key}`);
    for (const key of expected) if (!keys.includes(key)) found.push(`${place.name}: lacks ${key}`);
  }
  return found;
}

/** `storage:state` of every copy of a backup, ordered by the names of the storages. */
export async function copyStates(installation: Installation, backupId: string): Promise<string> {
  const copies = await withCatalog(installation, (catalog) => catalog.copies(backupId));
  return copies.map(({ storage, state }) => `${storage}:${state}`).join(" ");
}
