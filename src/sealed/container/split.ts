import { MIB } from "../../base/limits.ts";
import { ByteReader } from "../byte-reader.ts";
import type { ContainerMember, MemberHead } from "./format.ts";
import {
  BEGIN_BYTES_MAX,
  CONTAINER_LINE,
  CONTAINER_MAGIC,
  damagedContainer,
  decodeBegin,
  FRAME_BYTES_MAX,
  MEMBERS_AT_ONCE_MAX,
  RECORD,
  RECORD_HEAD_BYTES,
  SIZE_BYTES,
} from "./format.ts";
import { MemberBuffer } from "./member-buffer.ts";

/** Bytes that wait for one reader; then the whole stream waits for it. */
const BUFFER_BYTES = 8 * MIB;

/** A container that is being read. Disposal closes the source. */
export interface SplitContainer extends AsyncDisposable {
  /** Members to read at the same time, at least; otherwise the stream stops for ever. */
  readonly membersAtOnce: number;
  /**
   * Each member when it begins, the schema first and alone. Ends only if the container is complete and its source has
   * ended. A reader that leaves a member early gets the others all the same. Can be read once.
   */
  readonly members: AsyncIterable<ContainerMember>;
}

/** Whether a dump begins as a container and not as an archive. Needs 16 bytes. */
export function isContainer(head: Uint8Array): boolean {
  return CONTAINER_MAGIC.equals(head.subarray(0, CONTAINER_MAGIC.length));
}

/**
 * Splits a container into its members. Holds at most `bufferBytes` and one chunk of the source for each member at once:
 * if nobody reads a member, the others get no more bytes once its buffer is full. Damage throws code `verification`,
 * errors of the source pass unchanged; both reach the members that are open, and the reader of the members.
 */
export async function split(
  source: AsyncIterable<Uint8Array>,
  { bufferBytes = BUFFER_BYTES }: { bufferBytes?: number } = {},
): Promise<SplitContainer> {
  const reader = new ByteReader(source);
  try {
    const membersAtOnce = await readHead(reader);
    const splitter = new Splitter(reader, membersAtOnce, bufferBytes);
    return {
      membersAtOnce,
      members: splitter.members(),
      [Symbol.asyncDispose]: () => splitter.close(),
    };
  } catch (error) {
    await reader.return();
    throw error;
  }
}

async function readHead(reader: ByteReader): Promise<number> {
  const line = Buffer.from(await reader.take(CONTAINER_LINE.length));
  if (!CONTAINER_LINE.equals(line)) {
    if (line.length < CONTAINER_LINE.length) throw damagedContainer("it is cut off in its first line");
    throw damagedContainer(
      isContainer(line)
        ? "its version is not 1, the only one that this pg321 reads"
        : "it does not begin as a container",
    );
  }
  const membersAtOnce = Buffer.from(await takeWhole(reader, 4)).readUInt32BE();
  if (membersAtOnce < 1 || membersAtOnce > MEMBERS_AT_ONCE_MAX)
    throw damagedContainer(`it claims ${membersAtOnce} members at once`);
  return membersAtOnce;
}

async function takeWhole(reader: ByteReader, count: number): Promise<Uint8Array> {
  const bytes = await reader.take(count);
  if (bytes.length < count) throw damagedContainer("it is cut off");
  return bytes;
}

/** Reads the stream and gives each member its bytes, as fast as the readers of the members take them. */
class Splitter {
  readonly #reader: ByteReader;
  readonly #membersAtOnce: number;
  readonly #bufferBytes: number;
  readonly #names = new Set<string>();
  /** The members that have begun, until their end is read. */
  readonly #open = new Map<number, MemberBuffer>();
  /** The members that have begun, until their reader has had everything or left. */
  readonly #unread = new Set<MemberBuffer>();
  /** The members that nobody has taken yet. */
  readonly #begun: (MemberHead & { buffer: MemberBuffer })[] = [];
  #count = 0;
  #pumping: Promise<void> | undefined;
  #isComplete = false;
  #failure: { error: unknown } | undefined;
  /** Called at every change that somebody could wait for. */
  #wake: (() => void)[] = [];

  constructor(reader: ByteReader, membersAtOnce: number, bufferBytes: number) {
    this.#reader = reader;
    this.#membersAtOnce = membersAtOnce;
    this.#bufferBytes = bufferBytes;
  }

  async *members(): AsyncGenerator<ContainerMember, void, undefined> {
    this.#pumping ??= this.#pump();
    try {
      for (;;) {
        await this.#until(() => this.#begun.length > 0 || this.#isComplete);
        const next = this.#begun.shift();
        if (!next) return;
        yield { name: next.name, kind: next.kind, bytes: next.buffer };
      }
    } finally {
      if (!this.#isComplete) await this.close();
    }
  }

  async close(): Promise<void> {
    if (!this.#isComplete) this.#fail(new Error("the reader of the container left"));
    await this.#reader.return();
    await this.#pumping;
  }

  /** Waits for a condition. Throws the failure if there is one. */
  async #until(condition: () => boolean): Promise<void> {
    for (;;) {
      if (this.#failure) throw this.#failure.error;
      if (condition()) return;
      await new Promise<void>((resolve) => this.#wake.push(resolve));
    }
  }

  readonly #changed = (): void => {
    const waiting = this.#wake;
    this.#wake = [];
    for (const wake of waiting) wake();
  };

  #fail(error: unknown): void {
    this.#failure ??= { error };
    for (const buffer of this.#unread) buffer.fail(this.#failure.error);
    this.#changed();
  }

  async #pump(): Promise<void> {
    try {
      while (await this.#record());
      this.#isComplete = true;
      this.#changed();
    } catch (error) {
      this.#fail(error);
      await this.#reader.return().catch(() => {});
    }
  }

  /** Returns false after the end of the container. */
  async #record(): Promise<boolean> {
    const head = Buffer.from(await takeWhole(this.#reader, RECORD_HEAD_BYTES));
    const [type, member, length] = [head.readUInt8(), head.readUInt32BE(1), head.readUInt32BE(5)];
    if (type === RECORD.begin) await this.#begin(member, length);
    else if (type === RECORD.frame) await this.#frame(this.#openMember(member), length);
    else if (type === RECORD.memberEnd) await this.#memberEnd(member, length);
    else if (type === RECORD.end) {
      await this.#end(member, length);
      return false;
    } else throw damagedContainer(`it has a record of the unknown type ${type}`);
    return true;
  }

  #openMember(member: number): MemberBuffer {
    const buffer = this.#open.get(member);
    if (buffer) return buffer;
    const state = member < this.#count ? "has ended" : "has not begun";
    throw damagedContainer(`it has a record of member ${member}, which ${state}`);
  }

  async #begin(member: number, length: number): Promise<void> {
    if (length > BEGIN_BYTES_MAX) throw damagedContainer(`the beginning of member ${member} is too long`);
    const head = decodeBegin(await takeWhole(this.#reader, length));
    if (member !== this.#count) throw damagedContainer(`member ${member} comes out of order`);
    if ((head.kind === "schema") !== (member === 0))
      throw damagedContainer(`member ${member} is of kind ${head.kind}`);
    if (this.#names.has(head.name)) throw damagedContainer(`two members have the name ${head.name}`);
    if (this.#open.has(0) || this.#open.size >= this.#membersAtOnce)
      throw damagedContainer(`member ${member} begins before another has ended`);
    // An ended member may still be in its buffer. Its reader needs nothing more of the stream, so this wait ends.
    await this.#until(() => this.#unread.size < this.#membersAtOnce);
    this.#names.add(head.name);
    this.#count += 1;
    const buffer = new MemberBuffer(this.#bufferBytes, {
      onChange: this.#changed,
      onRead: () => {
        this.#unread.delete(buffer);
        this.#changed();
      },
    });
    this.#open.set(member, buffer);
    this.#unread.add(buffer);
    this.#begun.push({ ...head, buffer });
    this.#changed();
  }

  async #frame(buffer: MemberBuffer, length: number): Promise<void> {
    if (length < 1 || length > FRAME_BYTES_MAX) throw damagedContainer(`it has a frame of ${length} bytes`);
    for (let left = length; left > 0; ) {
      await this.#until(() => buffer.hasRoom);
      const piece = await this.#reader.some(left);
      if (piece.length === 0) throw damagedContainer("it is cut off in a frame");
      left -= piece.length;
      buffer.push(piece);
    }
  }

  async #memberEnd(member: number, length: number): Promise<void> {
    if (length !== SIZE_BYTES) throw damagedContainer(`the end of member ${member} is malformed`);
    const size = Buffer.from(await takeWhole(this.#reader, length)).readBigUInt64BE();
    const buffer = this.#openMember(member);
    if (size !== BigInt(buffer.bytes))
      throw damagedContainer(`member ${member} has ${buffer.bytes} bytes, but ${size} were written`);
    this.#open.delete(member);
    buffer.end();
  }

  async #end(count: number, length: number): Promise<void> {
    if (length !== 0) throw damagedContainer("its end is malformed");
    if (this.#open.size > 0) throw damagedContainer("it ends before its members");
    if (count === 0 && this.#count === 0) throw damagedContainer("it has no members");
    if (count !== this.#count)
      throw damagedContainer(`it has ${this.#count} members, but ${count} were written`);
    if (!(await this.#reader.atEnd())) throw damagedContainer("it has bytes after its end");
  }
}
