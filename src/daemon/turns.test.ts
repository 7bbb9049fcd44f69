import { expect, test } from "bun:test";
import { setImmediate } from "node:timers/promises";
import fc from "fast-check";
import type { Claim } from "./turns.ts";
import { HeldTurn, Turns } from "./turns.ts";

const never = new AbortController().signal;
const backupOf = (...servers: string[]): Claim => ({ type: "backup", servers: new Set(servers) });
const upkeep = (): Claim => ({ type: "upkeep" });
const verify = (): Claim => ({ type: "verify" });

/** Takes turns, and records which of them have begun. */
function takers(turns: Turns) {
  const begun: string[] = [];
  const held = new Map<string, Disposable>();
  return {
    begun,
    take(name: string, claim: Claim, signal = never): void {
      void turns.take(claim, signal).then(
        (turn) => {
          begun.push(name);
          held.set(name, turn);
        },
        () => {},
      );
    },
    async end(name: string): Promise<void> {
      held.get(name)?.[Symbol.dispose]();
      await setImmediate();
    },
  };
}

test("backups of one server go one after the other, those of different servers at the same time", async () => {
  const { begun, take, end } = takers(new Turns(8));
  take("a1", backupOf("a"));
  take("a2", backupOf("a", "b"));
  take("b1", backupOf("b"));
  take("c1", backupOf("c"));
  await setImmediate();
  // b1 waits for a2, which was requested before it.
  expect(begun).toEqual(["a1", "c1"]);
  await end("a1");
  expect(begun).toEqual(["a1", "c1", "a2"]);
  await end("a2");
  expect(begun).toEqual(["a1", "c1", "a2", "b1"]);
});

test("a cleanup waits for backups, later backups wait for the cleanup, and verify waits for nothing", async () => {
  const { begun, take, end } = takers(new Turns(8));
  take("backup", backupOf("a"));
  take("cleanup", upkeep());
  take("later", backupOf("b"));
  take("verify", verify());
  await setImmediate();
  expect(begun).toEqual(["backup", "verify"]);
  await end("backup");
  expect(begun).toEqual(["backup", "verify", "cleanup"]);
  await end("cleanup");
  expect(begun).toEqual(["backup", "verify", "cleanup", "later"]);
});

test("at most maxParallel turns are held at once, and more if it is raised", async () => {
  const turns = new Turns(2);
  const { begun, take, end } = takers(turns);
  for (const name of ["a", "b", "c", "d"]) take(name, backupOf(name));
  await setImmediate();
  expect(begun).toEqual(["a", "b"]);
  await end("a");
  expect(begun).toEqual(["a", "b", "c"]);
  turns.maxParallel = 3;
  await setImmediate();
  expect(begun).toEqual(["a", "b", "c", "d"]);
});

test("an aborted request no longer blocks others", async () => {
  const { begun, take } = takers(new Turns(8));
  const gone = new AbortController();
  take("backup", backupOf("a"));
  take("cleanup", upkeep(), gone.signal);
  take("later", backupOf("b"));
  gone.abort(new Error("stop"));
  await setImmediate();
  expect(begun).toEqual(["backup", "later"]);
  await expect(new Turns(1).take(verify(), gone.signal)).rejects.toThrow("stop");
});

test("a turn that is given up lets others go first, and is taken again", async () => {
  const turns = new Turns(1);
  const { begun, take, end } = takers(turns);
  const turn = await HeldTurn.take(turns, backupOf("a"), never);
  take("other", backupOf("a"));
  const { promise, resolve } = Promise.withResolvers<void>();
  const left = turn.leaveFor(() => promise).then(() => begun.push("again"));
  await setImmediate();
  resolve();
  await setImmediate();
  expect(begun).toEqual(["other"]);
  await end("other");
  await left;
  expect(begun).toEqual(["other", "again"]);
  take("last", backupOf("a"));
  turn[Symbol.dispose]();
  turn[Symbol.dispose]();
  await setImmediate();
  expect(begun).toEqual(["other", "again", "last"]);
});

test("property: every request gets its turn, and no two conflicting ones at the same time", async () => {
  const claims = fc.oneof(
    fc.subarray(["a", "b", "c"], { minLength: 1 }).map((servers) => backupOf(...servers)),
    fc.constant(0).map(upkeep),
    fc.constant(0).map(verify),
  );
  const inTheWay = (one: Claim, other: Claim) =>
    one.type !== "verify" &&
    other.type !== "verify" &&
    (one.type === "upkeep" || other.type === "upkeep" || !one.servers.isDisjointFrom(other.servers));
  await fc.assert(
    fc.asyncProperty(
      fc.array(claims, { maxLength: 12 }),
      fc.integer({ min: 1, max: 4 }),
      async (all, limit) => {
        const turns = new Turns(limit);
        const held: { claim: Claim; turn: Disposable }[] = [];
        let begun = 0;
        for (const claim of all) {
          void turns.take(claim, never).then((turn) => {
            begun++;
            for (const other of held) expect(inTheWay(other.claim, claim)).toBe(false);
            held.push({ claim, turn });
            expect(held.length).toBeLessThanOrEqual(limit);
          });
        }
        for (let left = all.length; left > 0; left--) {
          await setImmediate();
          held.shift()?.turn[Symbol.dispose]();
        }
        expect(begun).toBe(all.length);
      },
    ),
  );
});
