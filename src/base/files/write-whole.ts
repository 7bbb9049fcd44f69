import type { FileHandle } from "node:fs/promises";

/**
 * Writes all of `bytes`: a single call may write only a part of them, for example on a nearly full disk. `position`: where
 * in the file; after what was written last, if not given.
 */
export async function writeWhole(file: FileHandle, bytes: Uint8Array, position?: number): Promise<void> {
  for (let written = 0; written < bytes.length; ) {
    const at = position === undefined ? null : position + written;
    written += (await file.write(bytes, written, bytes.length - written, at)).bytesWritten;
  }
}
