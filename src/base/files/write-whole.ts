import type { FileHandle } from "node:fs/promises";

/** Writes all of `bytes`: one call may take a part of them, as on a disk that is nearly full. */
export async function writeWhole(file: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let written = 0; written < bytes.length; ) {
    written += (await file.write(bytes, written)).bytesWritten;
  }
}
