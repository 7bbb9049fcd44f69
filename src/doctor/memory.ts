import { readFile } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { BLOCK_BYTES, MIB } from "../base/limits.ts";
import { sizeText } from "../base/text/amounts.ts";
import type { Config } from "../config/config.ts";
import { maxPartsOf, partBytesFor } from "../jobs/copies/part-size.ts";
import { PARTS_AHEAD } from "../jobs/copies/store-copies.ts";
import { STREAM_BYTES } from "../postgres/parallel-dump/parallel-dump.ts";
import type { Seen } from "./finding.ts";
import { ok, warning } from "./finding.ts";

/** The program itself, with the S3 client: docs/limits.md. */
const BASE_BYTES = 90 * MIB;
const CORES_MAX = 8;

/**
 * The most memory that a backup run uses, in bytes, and the part size it follows from; the formula of docs/limits.md.
 */
export function memoryBudget(
  { storage, dump }: Pick<Config, "storage" | "dump">,
  largestBytes: number,
  cores: number = availableParallelism(),
): { bytes: number; partBytes: number } {
  const counted = Math.min(cores, CORES_MAX);
  const partBytes = partBytesFor(largestBytes, maxPartsOf(storage));
  const requests = storage.reduce((sum, one) => sum + (one.type === "s3" ? one.max_parallel_parts : 0), 0);
  // A block that does not compress keeps its size.
  const blocks = BLOCK_BYTES * (counted + 3 + counted + 1);
  const streams = dump.jobs > 1 ? dump.jobs * STREAM_BYTES : 0;
  const each = blocks + streams + partBytes * (PARTS_AHEAD + requests);
  return { bytes: BASE_BYTES + each * dump.max_parallel, partBytes };
}

export async function lookAtMemory(config: Config, largestBytes: number): Promise<Seen[]> {
  const { bytes, partBytes } = memoryBudget(config, largestBytes);
  const { max_parallel } = config.dump;
  const what = `a backup run needs up to ${sizeText(bytes)} (parts of ${sizeText(partBytes)}, ${max_parallel} ${max_parallel === 1 ? "database" : "databases"} at once)`;
  const available = await availableBytes();
  if (available === undefined || bytes <= available) return [ok(what)];
  return [
    warning(
      `${what}, but only ${sizeText(available)} is available`,
      "lower max_parallel_parts of the storages, or dump.max_parallel; docs/limits.md has the formula",
    ),
  ];
}

async function availableBytes(): Promise<number | undefined> {
  const text = await readFile("/proc/meminfo", "utf8").catch(() => "");
  const kib = /^MemAvailable:\s+(\d+) kB$/m.exec(text)?.[1];
  return kib === undefined ? undefined : Number(kib) * 1024;
}
