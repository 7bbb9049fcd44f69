/**
 * Whether `text` is the base64 of `count` bytes: RFC 4648 section 4, padded, no line ends, and the bits that
 * say nothing are zero. So bytes have one spelling, and comparing texts compares them.
 */
export function isBase64Of(text: string, count: number): boolean {
  const bytes = Buffer.from(text, "base64");
  return bytes.length === count && bytes.toString("base64") === text;
}
