import { Pg321Error } from "../base/errors.ts";
import { exactText } from "../base/text/utf8.ts";

/**
 * The small object that gives a storage its identity: it lies at the root of the place, is written once, and is looked
 * at before each run. `docs/storages.md` tells people of it.
 */
export const MARKER_KEY = "pg321-storage.json";
/** A marker has some 200 bytes; more of the object is not read. */
export const MARKER_BYTES_MAX = 4096;

export interface Marker {
  /** UUID v4, lower case: names the place, whatever the config calls it. */
  storage_id: string;
  /** The installation that wrote it. */
  installation: string;
  created_at: string;
}

const FORMAT = "pg321-storage-1";
const UUID = /^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$/;

export function encodeMarker(marker: Marker): Uint8Array {
  const { storage_id, installation, created_at } = marker;
  return Buffer.from(`${JSON.stringify({ format: FORMAT, storage_id, installation, created_at })}\n`);
}

/** Throws code `verification` for anything that is no marker. */
export function decodeMarker(storage: string, bytes: Uint8Array): Marker {
  const members = parsed(bytes);
  const { format, storage_id, installation, created_at } = members;
  const isMarker =
    format === FORMAT && isId(storage_id) && isId(installation) && typeof created_at === "string";
  if (isMarker) return { storage_id, installation, created_at };
  throw new Pg321Error("verification", `storage "${storage}": its marker ${MARKER_KEY} cannot be read`, {
    hint: `see who wrote it; if the place is right: remove it, then pg321 storage accept ${storage}`,
  });
}

function parsed(bytes: Uint8Array): Record<string, unknown> {
  if (bytes.length > MARKER_BYTES_MAX) return {};
  try {
    const value: unknown = JSON.parse(exactText(bytes) ?? "");
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

function isId(value: unknown): value is string {
  return typeof value === "string" && UUID.test(value);
}
