import { inspect } from "node:util";

const REDACTED = "[secret]";

/**
 * A value that must not be shown. It prints as `[secret]` wherever it ends up by accident (log, JSON, template,
 * inspect); only `reveal()` returns it, so a search for that word finds every use.
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
