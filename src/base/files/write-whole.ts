import type { FileHandle } from "node:fs/promises";

/** Writes all of `bytes`: a single call may write only a part of them, for example on a nearly full disk. */
export async function writeWhole(file: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let written = 0; written < bytes.length; ) {
    written += (await file.write(bytes, written)).bytesWritten;
  }
}
