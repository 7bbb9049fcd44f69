import { sizeText } from "../base/text/amounts.ts";
import type { StorageStatus } from "./report.ts";

/** A storage with a smaller share of free space is nearly full. */
const FREE_RATIO_MIN = 0.1;

export type StorageState = "unreachable" | "below min_free" | "nearly full" | "reachable" | "not checked";

/** The state of a storage in words, the same for the page, the text and the verdict. The worst that applies. */
export function storageState(storage: StorageStatus): StorageState {
  if (storage.is_reachable === false) return "unreachable";
  if (isBelowMinFree(storage)) return "below min_free";
  if (isNearlyFull(storage)) return "nearly full";
  return storage.is_reachable === null ? "not checked" : "reachable";
}

/** The space that the config keeps free in a local storage; null without such a limit. */
export function minFreeBytes({ location }: Pick<StorageStatus, "location">): number | null {
  return Number(location["min_free"]) || null;
}

/** Why a storage takes no more copies although it is reachable: `800 MiB free, but min_free is 1.0 GiB`. */
export function minFreeText(storage: StorageStatus): string {
  return `${sizeText(storage.free_bytes)} free, but min_free is ${sizeText(minFreeBytes(storage))}`;
}

function isBelowMinFree(storage: StorageStatus): boolean {
  const minFree = minFreeBytes(storage);
  return storage.free_bytes !== null && minFree !== null && storage.free_bytes < minFree;
}

/** Whether less than a tenth of the space is free. */
function isNearlyFull({ free_bytes, total_bytes }: StorageStatus): boolean {
  if (free_bytes === null || total_bytes === null || total_bytes <= 0) return false;
  return free_bytes < FREE_RATIO_MIN * total_bytes;
}
