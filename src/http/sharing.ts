import type { Clock } from "../base/clock.ts";
import { ownTurn } from "../base/steps.ts";

/**
 * How long what is made is given to others if many clients want it: it costs CPU time that the backups need, and a client
 * that is closed for being slow asks again at once.
 */
const KEPT_MS = 1_000;

/** Lets requests for the same share it. */
export type Sharing = <T, K = void>(make: (of: K) => Promise<T>) => (of: K) => Promise<T>;

/**
 * Requests that arrive while something is being made share it, and for a while afterwards if places are few. Each goes on in
 * a turn of its own: to send a large answer to 64 clients takes a second.
 */
export function sharing(areFew: () => boolean, clock: Clock): Sharing {
  return <T, K>(make: (of: K) => Promise<T>) => {
    const all = new Map<string, Promise<T>>();
    return async (of: K) => {
      const key = JSON.stringify([of]);
      let made = all.get(key);
      if (made === undefined) {
        const forget = () => void all.delete(key);
        made = make(of);
        all.set(key, made);
        made.then(() => (areFew() ? clock.sleep(KEPT_MS).then(forget) : forget()), forget);
      }
      const shown = await made;
      await ownTurn();
      return shown;
    };
  };
}
