const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * Decodes UTF-8, or returns undefined if the bytes are not valid UTF-8. Nothing is repaired or dropped, not even a
 * byte order mark, so two texts are equal only if their bytes are.
 */
export function exactText(bytes: Uint8Array): string | undefined {
  try {
    return strict.decode(bytes);
  } catch {
    return undefined;
  }
}
