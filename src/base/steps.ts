import { setImmediate } from "node:timers/promises";

/** Work in steps: at each `yield` it can be interrupted. */
export type Steps<T> = Generator<undefined, T>;

/** This many records of a report are worked on without a pause: one or two milliseconds. */
const RECORDS_AT_ONCE = 50;

/** Changes a list a few elements at a time: `change` gets `atOnce` of them in each step. */
export function* changed<T, U>(
  list: readonly T[],
  change: (some: readonly T[]) => readonly U[],
  atOnce: number = RECORDS_AT_ONCE,
): Steps<U[]> {
  const all: U[] = [];
  for (let from = 0; from < list.length; from += atOnce) {
    yield;
    all.push(...change(list.slice(from, from + atOnce)));
  }
  return all;
}

/** The last turn of the event loop that is taken. */
let last: Promise<unknown> = Promise.resolve();

/** Waits for a turn of the event loop that no other caller has: in between other work gets its turn. */
export async function ownTurn(): Promise<void> {
  last = last.then(() => setImmediate());
  await last;
}

/** Does the steps one after the other, and gives way to other work in between: also to such steps of others. */
export async function inTurns<T>(steps: Steps<T>): Promise<T> {
  for (;;) {
    const step = steps.next();
    if (step.done) return step.value;
    await ownTurn();
  }
}

/** Does the steps without a pause: for a command, which has no other work. */
export function atOnce<T>(steps: Steps<T>): T {
  for (;;) {
    const step = steps.next();
    if (step.done) return step.value;
  }
}
