import { normalize } from "node:path";
import { deadline, unlessAborted, unlessHung } from "../abort.ts";
import { systemClock } from "../clock.ts";
import { Pg321Error } from "../errors.ts";

/** A place that answered within this time is assumed to answer now. */
const ANSWER_MS = 2_000;
/** A call that was given up gets this long to end by itself; after that it counts as hanging. */
const HANG_GRACE_MS = 5_000;
/** How long to wait for a place that has no timeout of its own in the config. */
export const PLACE_MS_MAX = 20_000;
/** A clean environment: no secret may reach another program. */
const ENVIRONMENT = { PATH: "/usr/local/bin:/usr/bin:/bin", LC_ALL: "C" };

/** How to make one call on a place. */
export interface PlaceCall {
  /** The beginning of its error messages. */
  what: string;
  /** The call is given up after this many ms; 0 for never. */
  limitMs: number;
  signal?: AbortSignal | undefined;
  /** What the reader can do besides checking the disk. */
  hint?: string;
}

/**
 * A directory on a file system that may hang: a lost NFS server, a dying disk. Nothing can end a call that hangs
 * there; it occupies one of the few threads and keeps the process from exiting. So a call is made only after the place
 * has just answered a helper process (`stat -f`), which may hang in our stead. While a call or the helper hangs, this
 * process makes no other call on the place: nobody knows what the hanging call may still do.
 */
class Place {
  readonly #path: string;
  #answeredAtMs = Number.NEGATIVE_INFINITY;
  /** Settles when the running helper ends. */
  #helper: Promise<void> | undefined;
  #askedAtMs = 0;
  /** A caller has waited for that helper in vain. */
  #isSilent = false;
  /** Calls that were given up and have not ended. */
  #left = 0;

  constructor(path: string) {
    this.#path = path;
  }

  get isHanging(): boolean {
    return this.#left > 0 || this.#isSilent;
  }

  /**
   * Runs an operation once the place has answered. Throws what the operation throws, the signal's reason, or code
   * `storage` (retryable) if the place does not answer in time. It throws at once while an earlier call hangs, or if
   * the place has already been silent for that long.
   */
  async run<T>(call: PlaceCall, operation: () => Promise<T>): Promise<T> {
    const { signal, limitMs } = call;
    if (limitMs === 0) return await this.#run(call, signal, operation);
    const limit = { clock: systemClock, durationMs: limitMs, signal };
    using time = deadline(limit, () => this.#noAnswer(call));
    return await this.#run(call, time.signal, operation);
  }

  async #run<T>(call: PlaceCall, signal: AbortSignal | undefined, operation: () => Promise<T>): Promise<T> {
    signal?.throwIfAborted();
    if (this.#left > 0 || (this.#isSilent && !this.#mayWait(call))) throw this.#stillHangs(call);
    if (this.#isSilent || systemClock.monotonicMs() - this.#answeredAtMs > ANSWER_MS)
      await this.#answer(signal);
    signal?.throwIfAborted();
    // Another caller may have given up while we waited.
    if (this.isHanging) throw this.#stillHangs(call);
    const running = operation();
    const onEnd = () => {
      this.#answeredAtMs = systemClock.monotonicMs();
    };
    running.then(onEnd, onEnd);
    if (!signal) return await running;
    const over = () => void this.#left--;
    return await unlessHung(running, signal, HANG_GRACE_MS, () => {
      this.#left++;
      running.then(over, over);
    });
  }

  /**
   * Whether a call may wait longer than the place has been silent so far: an earlier caller may have had little time.
   */
  #mayWait({ limitMs, signal }: PlaceCall): boolean {
    if (limitMs === 0 && signal === undefined) return false;
    return systemClock.monotonicMs() - this.#askedAtMs < (limitMs || PLACE_MS_MAX);
  }

  /** Resolves when the place answers; rejects with the signal's reason. All callers share one helper. */
  async #answer(signal: AbortSignal | undefined): Promise<void> {
    this.#helper ??= this.#ask();
    if (!signal) return await this.#helper;
    try {
      await unlessAborted(this.#helper, signal);
    } catch (error) {
      const isLong = systemClock.monotonicMs() - this.#askedAtMs >= HANG_GRACE_MS;
      // A caller that was stopped at once has not really waited.
      if (this.#helper !== undefined && (isLong || isTimeLimit(error))) this.#isSilent = true;
      throw error;
    }
  }

  /** Any end of the helper is an answer: the call itself will report what is wrong there. */
  async #ask(): Promise<void> {
    this.#askedAtMs = systemClock.monotonicMs();
    try {
      const command = ["stat", "--file-system", "--", this.#path];
      await Bun.spawn(command, { stdio: ["ignore", "ignore", "ignore"], env: ENVIRONMENT }).exited;
    } catch {
      // This host has no `stat`: assume that the place answers.
    } finally {
      this.#helper = undefined;
      this.#isSilent = false;
      this.#answeredAtMs = systemClock.monotonicMs();
    }
  }

  #noAnswer({ what, limitMs, hint }: PlaceCall): Pg321Error {
    return new TimeLimit("storage", `${what}: no answer for ${limitMs / 1000} s`, {
      hint: this.#advice(hint),
      retryable: true,
    });
  }

  #stillHangs({ what }: PlaceCall): Pg321Error {
    return new Pg321Error("storage", `${what}: an earlier call still hangs`, {
      hint: this.#advice(),
      retryable: true,
    });
  }

  #advice(more?: string): string {
    const advice = `check whether the disk or the server behind ${this.#path} answers`;
    return more === undefined ? advice : `${advice}, ${more}`;
  }
}

class TimeLimit extends Pg321Error {}

function isTimeLimit(error: unknown): boolean {
  return error instanceof TimeLimit;
}

const places = new Map<string, Place>();

/** The one `Place` of this process for a path. */
export function placeAt(path: string): Place {
  const key = normalize(path).replace(/(?<=.)\/$/, "");
  const known = places.get(key) ?? new Place(key);
  places.set(key, known);
  return known;
}

/** Rejects with code `storage` if a path does not answer within 20 s: then no call on it may be made. */
export function requireAnswer(what: string, path: string, signal?: AbortSignal): Promise<void> {
  return placeAt(path).run({ what, limitMs: PLACE_MS_MAX, signal }, async () => {});
}
