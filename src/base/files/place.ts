import { normalize } from "node:path";
import { unlessAborted, unlessHung } from "../abort.ts";
import { systemClock } from "../clock.ts";
import { Pg321Error } from "../errors.ts";

/** A place that answered so lately is believed to answer now. */
const ANSWER_MS = 2_000;
/** A call that was given up may still end by itself for so long; then it hangs. */
const HANG_GRACE_MS = 5_000;
/** How long a place that no setting gives a time is waited for. */
export const PLACE_MS_MAX = 20_000;
/** Nothing of ours: no secret may reach another program. */
const ENVIRONMENT = { PATH: "/usr/local/bin:/usr/bin:/bin", LC_ALL: "C" };

/** How one call on a place is made. */
export interface PlaceCall {
  /** Begins its error messages. */
  what: string;
  /** After that many ms without an end the call is given up; 0 for never. */
  limitMs: number;
  signal?: AbortSignal | undefined;
  /** What the reader can do beside looking at the disk. */
  hint?: string;
}

/**
 * A directory on a file system that may hang: a lost NFS server, a dying disk. A call that hangs there ends by
 * nothing, holds a thread of the few there are, and keeps an ended process from going. So nobody calls unless
 * the place has answered just now, to a helper process (`stat -f`) that may hang for us; and while a call or
 * the helper hangs no other is made, by anybody in this process: what a hung one may yet do is not known.
 */
class Place {
  readonly #path: string;
  #answeredAtMs = Number.NEGATIVE_INFINITY;
  /** Settles when the helper that is out comes back. */
  #helper: Promise<void> | undefined;
  #askedAtMs = 0;
  /** Somebody waited for that helper in vain. */
  #isSilent = false;
  /** Calls that were given up and have not come back. */
  #left = 0;

  constructor(path: string) {
    this.#path = path;
  }

  get isHanging(): boolean {
    return this.#left > 0 || this.#isSilent;
  }

  /**
   * Runs an operation once the place has answered. Throws what it throws; the signal's reason; code `storage`,
   * retryable, when the place does not answer in time; at once while an earlier call hangs, and where the place has
   * been silent for that time already.
   */
  async run<T>(call: PlaceCall, operation: () => Promise<T>): Promise<T> {
    const { signal, limitMs } = call;
    if (limitMs === 0) return await this.#run(call, signal, operation);
    const late = new AbortController();
    const timer = setTimeout(() => late.abort(this.#noAnswer(call)), limitMs);
    try {
      const ended = signal ? AbortSignal.any([signal, late.signal]) : late.signal;
      return await this.#run(call, ended, operation);
    } finally {
      clearTimeout(timer);
    }
  }

  async #run<T>(call: PlaceCall, signal: AbortSignal | undefined, operation: () => Promise<T>): Promise<T> {
    signal?.throwIfAborted();
    if (this.#left > 0 || (this.#isSilent && !this.#mayWait(call))) throw this.#stillHangs(call);
    if (this.#isSilent || systemClock.monotonicMs() - this.#answeredAtMs > ANSWER_MS)
      await this.#answer(signal);
    signal?.throwIfAborted();
    // Others may have waited with us.
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

  /** Whether a call has more time than the silence has lasted: who gave up before may have had little. */
  #mayWait({ limitMs, signal }: PlaceCall): boolean {
    if (limitMs === 0 && signal === undefined) return false;
    return systemClock.monotonicMs() - this.#askedAtMs < (limitMs || PLACE_MS_MAX);
  }

  /** Resolves when the place answers; rejects with the signal's reason. One helper serves all who wait. */
  async #answer(signal: AbortSignal | undefined): Promise<void> {
    this.#helper ??= this.#ask();
    if (!signal) return await this.#helper;
    try {
      await unlessAborted(this.#helper, signal);
    } catch (error) {
      const isLong = systemClock.monotonicMs() - this.#askedAtMs >= HANG_GRACE_MS;
      // Who was told to end at once has not waited.
      if (this.#helper !== undefined && (isLong || isTimeLimit(error))) this.#isSilent = true;
      throw error;
    }
  }

  /** Whatever the helper says is an answer: what is wrong there the call itself will tell. */
  async #ask(): Promise<void> {
    this.#askedAtMs = systemClock.monotonicMs();
    try {
      const command = ["stat", "--file-system", "--", this.#path];
      await Bun.spawn(command, { stdio: ["ignore", "ignore", "ignore"], env: ENVIRONMENT }).exited;
    } catch {
      // A host without it: then nobody can tell.
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

/** The one `Place` of this process for a path, whoever asks for it. */
export function placeAt(path: string): Place {
  const key = normalize(path).replace(/(?<=.)\/$/, "");
  const known = places.get(key) ?? new Place(key);
  places.set(key, known);
  return known;
}

/** Rejects with code `storage` when a path does not answer within 20 s: then nothing may be asked of it. */
export function requireAnswer(what: string, path: string, signal?: AbortSignal): Promise<void> {
  return placeAt(path).run({ what, limitMs: PLACE_MS_MAX, signal }, async () => {});
}
