/** The object itself is level 1. Every parser can go this deep without exhausting its stack. */
const DEPTH_MAX = 32;
const MEMBER_NAME = /^[a-z][a-z0-9_]*$/;

/** Makes the error for a refused text; `why` follows "the text": `is not JSON`. */
export type Refuse = (why: string) => Error;

/** The JSON object of a text from an untrusted source; throws the error made by `refused`, whatever the text. */
export function parseObject(text: string, refused: Refuse): Record<string, unknown> {
  // Checked before parsing: a recursive parser cannot recover from an exhausted stack.
  if (isDeep(text)) throw refused(`nests deeper than ${DEPTH_MAX} levels`);
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    throw refused("is not JSON");
  }
  if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed))
    throw refused("is not an object");
  return parsed as Record<string, unknown>;
}

/**
 * Like `parseObject`, for the compact form of `docs/format.md`, in which each content has exactly one text. So no
 * two readers can understand one text differently, and the signed bytes can be made again from the parsed value.
 */
export function parseCompact(text: string, refused: Refuse): Record<string, unknown> {
  const parsed = parseObject(text, refused);
  if (JSON.stringify(parsed) !== text) throw refused("is not the compact JSON that was written");
  if (!isPlain(parsed)) throw refused("contains a name, a number or a text that the format does not allow");
  return parsed;
}

function isDeep(text: string): boolean {
  let depth = 0;
  let isString = false;
  for (let at = 0; at < text.length; at += 1) {
    const char = text[at];
    if (char === '"') isString = !isString;
    else if (isString) at += char === "\\" ? 1 : 0;
    else if (char === "[" || char === "{") depth += 1;
    else if (char === "]" || char === "}") depth -= 1;
    if (depth > DEPTH_MAX) return true;
  }
  return false;
}

/**
 * Accepts only names that no parser sorts or treats specially, and numbers and texts that every parser can
 * represent.
 */
function isPlain(value: unknown): boolean {
  if (typeof value === "string") return value.isWellFormed();
  if (typeof value === "number") return Number.isSafeInteger(value);
  if (typeof value !== "object" || value === null) return true;
  if (Array.isArray(value)) return value.every(isPlain);
  return Object.entries(value).every(([name, member]) => MEMBER_NAME.test(name) && isPlain(member));
}
