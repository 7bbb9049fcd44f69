import type { ContainerMember } from "./format.ts";
import {
  CONTAINER_LINE,
  encodeBegin,
  FRAME_BYTES_MAX,
  MEMBERS_AT_ONCE_MAX,
  RECORD,
  recordHead,
  SIZE_BYTES,
} from "./format.ts";

export interface InterleaveOptions {
  /** Members open at the same time, at most; a reader has to read as many at once. 1 to 64. */
  membersAtOnce: number;
  /**
   * Called once if the container will not be completed, with the reason, before the members are closed. It must make
   * pending reads of members, and of their source, settle.
   */
  stop?: (reason: unknown) => void;
}

/**
 * The container of the members that the source deals out. The first must be the schema, which is read to its end before
 * the next is asked for; after it as many as allowed are read at once, each in turn if several have bytes. The source is
 * asked for a member only when there is room for it. Holds one chunk of each member; a chunk's memory may be reused once
 * its member is asked for the next one. Ends only if every member and their source ended; the first error is thrown, and
 * the other members are closed.
 */
export async function* interleave(
  members: AsyncIterable<ContainerMember>,
  { membersAtOnce, stop = () => {} }: InterleaveOptions,
): AsyncGenerator<Uint8Array, void, undefined> {
  if (!Number.isInteger(membersAtOnce) || membersAtOnce < 1 || membersAtOnce > MEMBERS_AT_ONCE_MAX)
    throw new Error(`a container cannot have ${membersAtOnce} members at once`);
  const running = new RunningMembers(members, membersAtOnce);
  let reason: unknown = new Error("the reader of the container left");
  let isWhole = false;
  try {
    yield containerHead(membersAtOnce);
    for (let step = await running.next(); step.kind !== "end"; step = await running.next()) {
      if (step.kind === "begin") yield step.record;
      else if (step.kind === "member end") yield memberEnd(step.member, step.bytes);
      else yield* frames(step.member, step.chunk);
    }
    yield recordHead(RECORD.end, running.count, 0);
    isWhole = true;
  } catch (error) {
    reason = error;
    throw error;
  } finally {
    if (!isWhole) {
      stop(reason);
      await running.close();
    }
  }
}

function containerHead(membersAtOnce: number): Uint8Array {
  const number = Buffer.alloc(4);
  number.writeUInt32BE(membersAtOnce);
  return Buffer.concat([CONTAINER_LINE, number]);
}

function memberEnd(member: number, bytes: number): Uint8Array {
  const size = Buffer.alloc(SIZE_BYTES);
  size.writeBigUInt64BE(BigInt(bytes));
  return Buffer.concat([recordHead(RECORD.memberEnd, member, SIZE_BYTES), size]);
}

function* frames(member: number, chunk: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < chunk.length; at += FRAME_BYTES_MAX) {
    const body = chunk.subarray(at, at + FRAME_BYTES_MAX);
    yield recordHead(RECORD.frame, member, body.length);
    yield body;
  }
}

type Step =
  | { kind: "begin"; record: Uint8Array }
  | { kind: "frame"; member: number; chunk: Uint8Array }
  | { kind: "member end"; member: number; bytes: number }
  | { kind: "end" };

interface Running {
  number: number;
  iterator: AsyncIterator<Uint8Array>;
  bytes: number;
  /** Whether it was asked for its next chunk: its last one has been written by then. */
  isAsked: boolean;
}

/** An answer of a member or of the source of members. */
type Answer = { error: unknown } | Deal | { of: Running; result: IteratorResult<Uint8Array> };
type Deal = { of: "source"; result: IteratorResult<ContainerMember> };

/** What happens next among the members and their source, in the order in which they answer. */
class RunningMembers {
  count = 0;
  readonly #source: AsyncIterator<ContainerMember>;
  readonly #membersAtOnce: number;
  readonly #names = new Set<string>();
  readonly #running = new Set<Running>();
  readonly #answers: Answer[] = [];
  #wake = (): void => {};
  #isSourceAsked = false;
  #isDealt = false;

  constructor(members: AsyncIterable<ContainerMember>, membersAtOnce: number) {
    this.#source = members[Symbol.asyncIterator]();
    this.#membersAtOnce = membersAtOnce;
  }

  async next(): Promise<Step> {
    for (;;) {
      this.#ask();
      if (this.#isDealt && this.#running.size === 0) return { kind: "end" };
      const answer = await this.#answer();
      if ("error" in answer) throw answer.error;
      if (answer.of !== "source") return this.#step(answer.of, answer.result);
      this.#isSourceAsked = false;
      if (!answer.result.done) return this.#begin(answer.result.value);
      if (this.count === 0) throw new Error("a container without members");
      this.#isDealt = true;
    }
  }

  /** Closes everything that still runs; errors of that are of no interest. */
  async close(): Promise<void> {
    const closing = [...this.#running].map(async ({ iterator }) => iterator.return?.());
    await Promise.allSettled([...closing, this.#closeSource()]);
  }

  async #closeSource(): Promise<void> {
    const isDeal = (answer: Answer): answer is Deal => "of" in answer && answer.of === "source";
    while (this.#isSourceAsked && !this.#answers.some((one) => "error" in one || isDeal(one)))
      await this.#answerComes();
    // A member that was dealt out but has not begun must be closed as well.
    for (const { result } of this.#answers.filter(isDeal))
      if (!result.done) await result.value.bytes[Symbol.asyncIterator]().return?.();
    await this.#source.return?.();
  }

  #ask(): void {
    const isSchema = this.count === 1 && this.#running.size === 1;
    if (!this.#isSourceAsked && !this.#isDealt && !isSchema && this.#running.size < this.#membersAtOnce) {
      this.#isSourceAsked = true;
      const onError = (error: unknown) => {
        // It has answered: nothing must wait for it.
        this.#isSourceAsked = false;
        throw error;
      };
      this.#await(this.#source.next().then((result) => ({ of: "source", result }), onError));
    }
    for (const member of this.#running) {
      if (member.isAsked) continue;
      member.isAsked = true;
      this.#await(member.iterator.next().then((result) => ({ of: member, result })));
    }
  }

  #await(answer: Promise<Answer>): void {
    const add = (one: Answer) => {
      this.#answers.push(one);
      this.#wake();
    };
    answer.then(add, (error: unknown) => add({ error }));
  }

  async #answer(): Promise<Answer> {
    for (;;) {
      const answer = this.#answers.shift();
      if (answer) return answer;
      await this.#answerComes();
    }
  }

  #answerComes(): Promise<void> {
    return new Promise((resolve) => (this.#wake = resolve));
  }

  #step(member: Running, result: IteratorResult<Uint8Array>): Step {
    member.isAsked = false;
    if (result.done) {
      this.#running.delete(member);
      return { kind: "member end", member: member.number, bytes: member.bytes };
    }
    member.bytes += result.value.length;
    return { kind: "frame", member: member.number, chunk: result.value };
  }

  #begin({ name, kind, bytes }: ContainerMember): Step {
    const number = this.count;
    this.#running.add({ number, iterator: bytes[Symbol.asyncIterator](), bytes: 0, isAsked: false });
    this.count += 1;
    if ((kind === "schema") !== (number === 0))
      throw new Error(`member ${number} of a container is of kind ${kind}`);
    if (this.#names.has(name)) throw new Error(`two members of a container have the name ${name}`);
    this.#names.add(name);
    const body = encodeBegin({ name, kind });
    return { kind: "begin", record: Buffer.concat([recordHead(RECORD.begin, number, body.length), body]) };
  }
}
