import { messageOf, Pg321Error } from "../base/errors.ts";

/** One thing that an installation or its removal checks or changes. */
export interface InstallStep {
  /** A path, or the subject of the step. */
  what: string;
  /**
   * `right`: already as it should be. `planned`: not done in a dry run. `attention`: a person must act. `kept`: stays.
   */
  state: "right" | "done" | "planned" | "attention" | "kept";
  detail: string;
}

/** The steps so far. Every change goes through here, so a dry run changes nothing. */
export class InstallSteps {
  readonly steps: InstallStep[] = [];
  readonly isDryRun: boolean;

  constructor(isDryRun: boolean) {
    this.isDryRun = isDryRun;
  }

  note(state: "right" | "attention" | "kept", what: string, detail: string): void {
    this.steps.push({ what, state, detail });
  }

  /** Does it, unless this is a dry run. Throws code `storage` if the system refuses it. */
  async change(what: string, detail: string, act: () => Promise<void>): Promise<void> {
    if (!this.isDryRun) {
      try {
        await act();
      } catch (cause) {
        if (cause instanceof Pg321Error) throw cause;
        throw new Pg321Error("storage", `${what}: ${detail}: ${messageOf(cause)}`, {
          hint: "earlier steps stay done; fix this, then run it again",
          cause,
        });
      }
    }
    this.steps.push({ what, state: this.isDryRun ? "planned" : "done", detail });
  }

  /** Whether any of these was changed, or would be. */
  changed(...names: string[]): boolean {
    return this.steps.some(({ what, state }) => names.includes(what) && /^(done|planned)$/.test(state));
  }
}
