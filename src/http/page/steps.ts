import { setImmediate } from "node:timers/promises";
import { raw } from "hono/html";
import type { Child } from "hono/jsx";

/** Work in steps: at each `yield` it can be interrupted. */
export type Steps<T> = Generator<undefined, T>;

/** Turns parts of the page into HTML, `atOnce` in each step: nothing is left to do when the whole page is put together. */
export function* rendered(parts: readonly Child[], atOnce: number): Steps<Child[]> {
  const html: Child[] = [];
  for (const [index, part] of parts.entries()) {
    if (index % atOnce === 0) yield;
    html.push(raw(String(part ?? "")));
  }
  return html;
}

/** Does the steps one after the other, and gives way to other work in between. */
export async function inTurns<T>(steps: Steps<T>): Promise<T> {
  for (;;) {
    const step = steps.next();
    if (step.done) return step.value;
    await setImmediate();
  }
}
