import * as v from "valibot";
import { UnreadableDump } from "../../base/errors.ts";
import { KIB, MIB } from "../../base/limits.ts";
import { exactText } from "../../base/text/utf8.ts";
import { parseCompact } from "../json.ts";

/**
 * The container of a dump that several pg_dump made at once: their archives ("members") in one stream. The layout is
 * specified in `docs/format.md`.
 */
export const CONTAINER_LINE: Buffer = Buffer.from("pg321 container 1\n");
/** The beginning that all versions of a container share. */
export const CONTAINER_MAGIC: Buffer = Buffer.from("pg321 container ");

/** The types of records. */
export const RECORD = { begin: 1, frame: 2, memberEnd: 3, end: 4 } as const;
/** Of a record: its type (1 byte), the number of its member (4), the length of its body (4). */
export const RECORD_HEAD_BYTES = 9;
/** The length of one frame that a reader accepts. */
export const FRAME_BYTES_MAX = 16 * MIB;
/** The length of the JSON that begins a member. */
export const BEGIN_BYTES_MAX = 4 * KIB;
/** The body of the end of a member: its size. */
export const SIZE_BYTES = 8;
/** Members that may be open at the same time: a reader starts as many processes. */
export const MEMBERS_AT_ONCE_MAX = 64;

export type MemberKind = "schema" | "data";

/** One archive of pg_dump in a container. */
export interface ContainerMember {
  /** Unique in its container, and usable as the name of a file: `^[a-z0-9][a-z0-9._-]{0,62}$`. */
  name: string;
  /** `schema`: pre-data and post-data of all objects; the first member, and the only one of this kind. */
  kind: MemberKind;
  /** Its end means that the member is complete; a failure throws before it. */
  bytes: AsyncIterable<Uint8Array>;
}

export type MemberHead = Pick<ContainerMember, "name" | "kind">;

const headSchema = v.object({
  name: v.pipe(v.string(), v.regex(/^[a-z0-9][a-z0-9._-]{0,62}$/)),
  kind: v.picklist(["schema", "data"]),
});

export function encodeBegin(head: MemberHead): Uint8Array {
  return Buffer.from(JSON.stringify(v.parse(headSchema, { name: head.name, kind: head.kind })));
}

/** Ignores members of the JSON that it does not know. Throws code `verification`. */
export function decodeBegin(body: Uint8Array): MemberHead {
  const text = exactText(body);
  if (text === undefined) throw damagedContainer("the beginning of a member is not UTF-8");
  const parsed = parseCompact(text, (why) => damagedContainer(`the beginning of a member ${why}`));
  const result = v.safeParse(headSchema, parsed);
  if (!result.success) throw damagedContainer("a member begins without a valid name and kind");
  return result.output;
}

export function recordHead(type: number, member: number, length: number): Buffer {
  const head = Buffer.alloc(RECORD_HEAD_BYTES);
  head.writeUInt8(type);
  head.writeUInt32BE(member, 1);
  head.writeUInt32BE(length, 5);
  return head;
}

/** The stream is not a whole container. Its bytes were authentic, so it was written like this: no copy is better. */
export function damagedContainer(why: string): UnreadableDump {
  return new UnreadableDump(`the dump of several streams is damaged: ${why}`);
}
