import type { JobContext } from "../jobs/context.ts";

/** The context of one config. It is closed when it is retired and no longer used. */
export class ContextInForce {
  readonly context: JobContext;
  #users = 0;
  #isRetired = false;
  readonly #closed = Promise.withResolvers<void>();

  constructor(context: JobContext) {
    this.context = context;
  }

  /** Keeps the context open until the returned object is disposed of. */
  use(): Disposable {
    this.#users++;
    return {
      [Symbol.dispose]: () => {
        this.#users--;
        this.#closeIfDone();
      },
    };
  }

  /** Closes the context as soon as nobody uses it. Resolves when it is closed; rejects if closing fails. */
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
