/**
 * Whether `text` is the base64 of `count` bytes: RFC 4648 section 4, padded, without line ends, and with unused
 * bits zero. So bytes have one form, and texts can be compared instead of bytes.
 */
export function isBase64Of(text: string, count: number): boolean {
  const bytes = Buffer.from(text, "base64");
  return bytes.length === count && bytes.toString("base64") === text;
}
