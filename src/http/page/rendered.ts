import { raw } from "hono/html";
import type { Child } from "hono/jsx";
import { changed, type Steps } from "../../base/steps.ts";

/** Turns parts of the page into HTML, `atOnce` in each step: nothing is left to do when the whole page is put together. */
export function rendered(parts: readonly Child[], atOnce: number): Steps<Child[]> {
  return changed(parts, (some) => some.map((part) => raw(String(part ?? ""))), atOnce);
}
