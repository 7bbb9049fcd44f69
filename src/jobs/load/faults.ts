import type { ArchiveContents, ArchiveEntry } from "../../postgres/archive/format.ts";
import { messageKind, OF_FUNCTION } from "../../postgres/message-kind.ts";
import type { RestoreError } from "../../postgres/restore/errors.ts";
import { explain } from "../../postgres/restore/known-errors.ts";
import type { JobContext } from "../context.ts";

/** One error that a restore ignored, as shown in records and output. */
export interface RestoreFault {
  /** The archive entry it is about, as `TABLE DATA public.orders`; null if pg_restore does not say. */
  entry: string | null;
  message: string;
  detail: string | null;
  hint: string | null;
  context: string | null;
  /** The statement without literals, so without passwords and rows; null if pg_restore names none. */
  statement: string | null;
  /** As in `explain`; null if it is none of the known kinds. */
  kind: string | null;
  /** What to do about it. */
  advice: string | null;
}

const IGNORED = "pg_restore ignored an error";

/** Collects the errors of one restore, and logs each as it comes. */
export class RestoreFaults {
  readonly all: RestoreFault[] = [];
  /** The ids of the entries that had errors. */
  readonly entries = new Set<number>();
  readonly #log: JobContext["log"];
  readonly #contents: ReadonlyMap<number, ArchiveEntry>;

  readonly #kindOf: ((fault: RestoreFault) => string) | undefined;

  /** With `kindOf` the log has only what that returns of each error, and no values of rows. */
  constructor(
    { log }: Pick<JobContext, "log">,
    contents: ArchiveContents,
    kindOf?: (fault: RestoreFault) => string,
  ) {
    this.#kindOf = kindOf;
    this.#log = log;
    this.#contents = new Map(contents.entries.map((entry) => [entry.id, entry]));
  }

  readonly add = (error: RestoreError): void => {
    if (error.entry !== undefined) this.entries.add(error.entry);
    this.#add(error, this.#contents);
  };

  /** Collects the errors of another archive of the same restore; `idOf` gives the ids that its entries have here. */
  addOf(
    contents: ArchiveContents,
    idOf: (entry: ArchiveEntry) => number | undefined,
  ): (error: RestoreError) => void {
    const byId = new Map(contents.entries.map((entry) => [entry.id, entry]));
    return (error) => {
      const entry = error.entry === undefined ? undefined : byId.get(error.entry);
      const id = entry && idOf(entry);
      if (id !== undefined) this.entries.add(id);
      this.#add(error, byId);
    };
  }

  #add(error: RestoreError, contents: ReadonlyMap<number, ArchiveEntry>): void {
    const { entry: id, message, detail, hint, context, statement } = error;
    const found = id === undefined ? undefined : contents.get(id);
    const name = found && [found.namespace, found.tag].filter((part) => part !== undefined).join(".");
    const entry = found ? `${found.description} ${name}` : null;
    const { kind = null, advice = null } = explain(error) ?? {};
    const margin = { detail: detail ?? null, hint: hint ?? null, context: context ?? null };
    const fault = { entry, message, ...margin, statement: statement ?? null, kind, advice };
    this.all.push(fault);
    if (this.#kindOf) {
      this.#log.warning(IGNORED, { error: this.#kindOf(fault) });
      return;
    }
    this.#log.warning(IGNORED, {
      ...(entry !== null && { entry }),
      error: message,
      ...(detail !== undefined && { detail }),
      ...(hint !== undefined && { hint }),
      ...(context !== undefined && { context }),
      ...(statement !== undefined && { statement }),
    });
  }
}

export function faultText({ entry, message, detail }: RestoreFault): string {
  return [entry === null ? message : `${entry}: ${message}`, ...(detail === null ? [] : [detail])].join("; ");
}

/** One error of pg_restore for what leaves this host: its entry, and its message as far as that has no values of rows. */
export function kindText(fault: FaultTexts): string {
  const kind = shownMessage(fault);
  return fault.entry === null ? kind : `${fault.entry}: ${kind}`;
}

/** The message as far as it has no values of rows. */
export function shownMessage(fault: FaultTexts): string {
  return isOfFunction(fault) ? OF_FUNCTION : messageKind(fault.message, fault.entry ?? "");
}

type FaultTexts = Pick<RestoreFault, "entry" | "message" | "context"> & Partial<Pick<RestoreFault, "detail">>;

/** Whether a function has chosen the words of an error: they may be values of rows. */
export function isOfFunction({ message, detail = null, context }: FaultTexts): boolean {
  if (context !== null && /\bfunction\b/i.test(context)) return true;
  // A server with other lc_messages names the context in its own language, so it is a part of the text before it.
  return [message, detail, context].some((text) => text !== null && /\bPL\/\w/.test(text));
}
