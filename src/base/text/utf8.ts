const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * The text that `bytes` spell in UTF-8, undefined where they spell none. Nothing is repaired or left out, a
 * byte order mark neither: so two texts are equal only where their bytes are.
 */
export function exactText(bytes: Uint8Array): string | undefined {
  try {
    return strict.decode(bytes);
  } catch {
    return undefined;
  }
}
