import { inspect } from "node:util";

const REDACTED = "[secret]";

/**
 * A value that must not be shown. It prints as `[secret]` wherever it lands by accident (log, JSON,
 * template, inspect); only `reveal()` gives it, so every use can be found by searching for that word.
 */
export class Secret {
  readonly #value: string;

  constructor(value: string) {
    this.#value = value;
  }

  reveal(): string {
    return this.#value;
  }

  toString(): string {
    return REDACTED;
  }

  toJSON(): string {
    return REDACTED;
  }

  [inspect.custom](): string {
    return REDACTED;
  }
}
