/** The object itself is level 1. Every parser goes as deep as this, none of them out of its stack. */
const DEPTH_MAX = 32;
const MEMBER_NAME = /^[a-z][a-z0-9_]*$/;

/** Makes the error that says of the text why it was refused: `is not JSON`. */
export type Refuse = (why: string) => Error;

/** The JSON object of a text that may come from anybody; throws what `refused` makes, whatever the text is. */
export function parseObject(text: string, refused: Refuse): Record<string, unknown> {
  // Before it is parsed: a recursive parser has no way back from the end of its stack.
  if (isDeep(text)) throw refused(`nests deeper than ${DEPTH_MAX} levels`);
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    throw refused("is not JSON");
  }
  if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed)) throw refused("is no object");
  return parsed as Record<string, unknown>;
}

/**
 * The same for the compact form of `docs/format.md`, in which one content has one text. So no two readers can
 * take one text for two contents, and what is signed can be made again from what was parsed.
 */
export function parseCompact(text: string, refused: Refuse): Record<string, unknown> {
  const parsed = parseObject(text, refused);
  if (JSON.stringify(parsed) !== text) throw refused("is not the compact JSON that was written");
  if (!isPlain(parsed)) throw refused("holds a name, a number or a text that the format does not allow");
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

/** Names that no parser sorts or takes for something else, and numbers and texts that each of them holds. */
function isPlain(value: unknown): boolean {
  if (typeof value === "string") return value.isWellFormed();
  if (typeof value === "number") return Number.isSafeInteger(value);
  if (typeof value !== "object" || value === null) return true;
  if (Array.isArray(value)) return value.every(isPlain);
  return Object.entries(value).every(([name, member]) => MEMBER_NAME.test(name) && isPlain(member));
}
