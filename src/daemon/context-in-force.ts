import type { JobContext } from "../jobs/context.ts";

/** The context of one config. It is closed once it is retired and its last user is done. */
export class ContextInForce {
  readonly context: JobContext;
  #users = 0;
  #isRetired = false;
  readonly #closed = Promise.withResolvers<void>();

  constructor(context: JobContext) {
    this.context = context;
  }

  /** Keeps it open until what is returned is disposed of. */
  use(): Disposable {
    this.#users++;
    return {
      [Symbol.dispose]: () => {
        this.#users--;
        this.#closeIfDone();
      },
    };
  }

  /** Resolves when it is closed; rejects with what closing threw. */
  retire(): Promise<void> {
    this.#isRetired = true;
    this.#closeIfDone();
    return this.#closed.promise;
  }

  #closeIfDone(): void {
    if (!this.#isRetired || this.#users > 0) return;
    this.context[Symbol.asyncDispose]().then(this.#closed.resolve, this.#closed.reject);
  }
}
