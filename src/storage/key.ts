import { Pg321Error } from "../base/errors.ts";

/** S3's limit for a whole key, including the storage's prefix. */
const KEY_BYTES_MAX = 1024;
/** The limit for a file name on all common file systems. */
const COMPONENT_BYTES_MAX = 255;
/** Names of temporary files of local storages begin with this. */
export const RESERVED_NAME = ".pg321-";

/**
 * Thrown by `put` if an object of another operation is under its key, or another put of the key is under way.
 * Nothing of this operation is left, and the other object was not touched. `what` is the beginning of the message:
 * `storage "r2": put KEY`.
 */
export class KeyTaken extends Pg321Error {
  constructor(
    what: string,
    cause?: unknown,
    found: { what: string; hint?: string } = {
      what: "the object already exists, and pg321 overwrites nothing",
    },
  ) {
    super("storage", `${what}: ${found.what}`, {
      cause,
      ...(found.hint !== undefined && { hint: found.hint }),
    });
  }
}

/** Throws for a key that some storages cannot hold, or that would leave the storage's root. */
export function checkKey(storage: string, key: string, prefix = ""): void {
  const problem = keyProblem(key, prefix);
  if (problem === undefined) return;
  throw new Pg321Error("storage", `storage "${storage}": key ${JSON.stringify(key)} refused: ${problem}`);
}

/** An object's full name: the storage's prefix and the key. */
export function fullKey(prefix: string, key: string): string {
  return prefix === "" ? key : `${prefix}/${key}`;
}

/**
 * Compares keys as S3 orders them: by their UTF-8 bytes. That is the order of the code units, except that those of
 * characters beyond the first 65,536 (surrogates) come last.
 */
export function compareKeys(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let index = 0; index < length; index++) {
    const [one, other] = [a.charCodeAt(index), b.charCodeAt(index)];
    if (one !== other) return byteOrder(one) - byteOrder(other);
  }
  return a.length - b.length;
}

function byteOrder(unit: number): number {
  const isSurrogate = unit >= 0xd800 && unit < 0xe000;
  return isSurrogate ? unit + 0x10000 : unit;
}

function keyProblem(key: string, prefix: string): string | undefined {
  if (key === "") return "it is empty";
  // Control characters do not survive the XML of S3's listings.
  if (/[\u0000-\u001f\u007f]/.test(key)) return "it contains a control character";
  if (Buffer.byteLength(fullKey(prefix, key)) > KEY_BYTES_MAX) {
    return `it is longer than ${KEY_BYTES_MAX} bytes`;
  }
  for (const component of key.split("/")) {
    if (component === "") return 'it has an empty component (a leading, trailing or double "/")';
    if (component === "." || component === "..") return `it has a component "${component}"`;
    if (component.startsWith(RESERVED_NAME)) return `names that begin with "${RESERVED_NAME}" are reserved`;
    if (Buffer.byteLength(component) > COMPONENT_BYTES_MAX) {
      return `a component is longer than ${COMPONENT_BYTES_MAX} bytes`;
    }
  }
  return undefined;
}
