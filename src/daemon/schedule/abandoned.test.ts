import { expect, test } from "bun:test";
import { ManualClock } from "../../../test/lab/manual-clock.ts";
import { MINUTE_MS } from "../../base/limits.ts";
import { silentLog } from "../../base/log.ts";
import type { ContextInForce } from "../context-in-force.ts";
import { AbandonedBackups } from "./abandoned.ts";

test("an error before the first question to the catalog ends one look, not the daemon", async () => {
  const clock = new ManualClock();
  const warnings: unknown[] = [];
  const log = { ...silentLog, warning: (_: string, fields?: object) => void warnings.push(fields) };
  const abandoned = new AbandonedBackups({ clock, log, isBusy: () => false, begin: () => {} });
  let used = 0;
  const spool = {
    outage: () => {
      throw new Error("the spool cannot be read");
    },
  };
  const context = { catalog: { isShared: true, spool }, config: { fleet: { workers: "any" } } };
  const inForce = {
    context,
    use: () => {
      used++;
      return { [Symbol.dispose]: () => void used-- };
    },
  } as unknown as ContextInForce;
  for (let look = 1; look <= 2; look++) {
    abandoned.look(inForce);
    await clock.advance(MINUTE_MS);
    expect(warnings).toEqual(Array(look).fill({ error: "the spool cannot be read" }));
    expect(used).toBe(0);
  }
});
