import { visibleData } from "../../base/text/visible.ts";
import type { LongList } from "../../jobs/long-list.ts";
import type { Output } from "./output.ts";

/** Prints a text in parts, each as it is made: all of it may be too long for memory. */
export async function printParts(output: Output, parts: AsyncIterable<string>): Promise<void> {
  try {
    for await (const text of parts) await output.printPart(text);
  } catch (error) {
    // A reader that closes the pipe early (`| head`) is not an error.
    if (!isEndOfReader(error)) throw error;
  }
}

function isEndOfReader(error: unknown): boolean {
  const cause = error instanceof Error ? error.cause : undefined;
  return cause instanceof Error && "code" in cause && cause.code === "EPIPE";
}

/** Reads a list with every text in it made `visible`. */
export function visiblePages<T>(list: LongList<T>): () => AsyncGenerator<T[]> {
  return async function* () {
    for await (const page of list.pages()) yield visibleData(page);
  };
}
