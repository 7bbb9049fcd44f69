/** What a run works on, and what conflicting runs must therefore not work on at the same time. */
export type Claim =
  /** Backs up databases of these servers. */
  | { type: "backup"; servers: ReadonlySet<string> }
  /** Deletes or makes copies of any database: cleanup, repair, settling interrupted backups. */
  | { type: "upkeep" }
  /** Only reads copies (verification, restore test), and conflicts with nothing. */
  | { type: "verify" };

interface Waiting {
  claim: Claim;
  begin: () => void;
}

/** Decides whose turn it is. Runs that conflict go one after the other, in the order of their requests. */
export class Turns {
  #maxParallel: number;
  readonly #waiting: Waiting[] = [];
  readonly #begun = new Set<Claim>();

  constructor(maxParallel: number) {
    this.#maxParallel = maxParallel;
  }

  set maxParallel(value: number) {
    this.#maxParallel = value;
    this.#beginNext();
  }

  /** Resolves when the turn begins; the turn ends when it is disposed of. Rejects with the signal's reason. */
  async take(claim: Claim, signal: AbortSignal): Promise<Disposable> {
    signal.throwIfAborted();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const waiting: Waiting = { claim, begin: resolve };
    const leave = () => {
      const index = this.#waiting.indexOf(waiting);
      if (index < 0) return;
      this.#waiting.splice(index, 1);
      reject(signal.reason);
      // Others may have waited for this claim.
      this.#beginNext();
    };
    signal.addEventListener("abort", leave, { once: true });
    this.#waiting.push(waiting);
    this.#beginNext();
    await promise.finally(() => signal.removeEventListener("abort", leave));
    return {
      [Symbol.dispose]: () => {
        this.#begun.delete(claim);
        this.#beginNext();
      },
    };
  }

  #beginNext(): void {
    const ahead = [...this.#begun];
    for (const waiting of [...this.#waiting]) {
      if (this.#begun.size >= this.#maxParallel) return;
      const { claim } = waiting;
      // Claims that have waited longer also count, or a cleanup would never get a turn between backups.
      if (!ahead.some((other) => conflicts(other, claim))) {
        this.#waiting.splice(this.#waiting.indexOf(waiting), 1);
        this.#begun.add(claim);
        waiting.begin();
      }
      ahead.push(claim);
    }
  }
}

/** A turn that can be given up and taken again. */
export class HeldTurn implements Disposable {
  readonly #takeAgain: () => Promise<Disposable>;
  #turn: Disposable | undefined;

  private constructor(takeAgain: () => Promise<Disposable>, turn: Disposable) {
    this.#takeAgain = takeAgain;
    this.#turn = turn;
  }

  static async take(turns: Turns, claim: Claim, signal: AbortSignal): Promise<HeldTurn> {
    const take = () => turns.take(claim, signal);
    return new HeldTurn(take, await take());
  }

  /** Gives the turn up while `pause` lasts, then waits for a new one. */
  async leaveFor(pause: () => Promise<void>): Promise<void> {
    this[Symbol.dispose]();
    await pause();
    this.#turn = await this.#takeAgain();
  }

  [Symbol.dispose](): void {
    this.#turn?.[Symbol.dispose]();
    this.#turn = undefined;
  }
}

/** Whether a run with this claim may also work on what another claim names. */
export function covers(claim: Claim, other: Claim): boolean {
  if (claim.type !== "backup" || other.type !== "backup") return claim.type === other.type;
  return other.servers.isSubsetOf(claim.servers);
}

function conflicts(one: Claim, other: Claim): boolean {
  if (one.type === "verify" || other.type === "verify") return false;
  if (one.type === "upkeep" || other.type === "upkeep") return true;
  return !one.servers.isDisjointFrom(other.servers);
}
