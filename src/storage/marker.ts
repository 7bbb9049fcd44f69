import { Pg321Error } from "../base/errors.ts";
import { exactText } from "../base/text/utf8.ts";

/**
 * The small object that gives a storage its identity: it lies at the root of the place, is written once, and is
 * checked before each run. Documented for users in `docs/cli.md`, under `storage`.
 */
export const MARKER_KEY = "pg321-storage.json";
/** A marker has some 200 bytes; no more than this is read. */
export const MARKER_BYTES_MAX = 4096;

export interface Marker {
  /** UUID v4, lower case: identifies the place, whatever its name in the config. */
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

/** Throws code `verification` for bytes that are not a marker. */
export function decodeMarker(storage: string, bytes: Uint8Array): Marker {
  const members = parsed(bytes);
  const { format, storage_id, installation, created_at } = members;
  const isMarker =
    format === FORMAT && isId(storage_id) && isId(installation) && typeof created_at === "string";
  if (isMarker) return { storage_id, installation, created_at };
  throw new Pg321Error("verification", `storage "${storage}": its marker ${MARKER_KEY} cannot be read`, {
    hint: `check who wrote it; if this is the right place, remove it, then run: pg321 storage accept ${storage}`,
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
