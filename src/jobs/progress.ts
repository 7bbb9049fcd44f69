import type { SinkOutcome } from "../stream/fan-out.ts";

export type StorageState = "writing" | SinkOutcome<unknown>["state"];

/** The progress of a job, shown on the terminal and in the log. */
export interface JobProgress {
  /** The current work, for display: `backup main/app`. */
  title: string;
  /** Bytes of the dump processed so far; bytes of the object if only ciphertext is copied. */
  bytes: number;
  /** The expected final value of `bytes`, if known. */
  expectedBytes: number | undefined;
  /** Where that comes from: only that of a backup that exists is exact. */
  expectedFrom: ExpectedFrom | undefined;
  /** What `bytes` counts, if it is not bytes. */
  unit?: CountedUnit;
  /** The bytes written to each storage. */
  storages: ReadonlyMap<string, { bytes: number; state: StorageState }>;
}

export type CountedUnit = "objects" | "databases" | "records";

/** `database_size`: on the server's disk, with indexes, which a dump does not contain. */
export type ExpectedFrom = "backup" | "last_backup" | "database_size";

export interface ProgressListener {
  update(progress: JobProgress): void;
  /** The work with this title has ended. */
  end(title: string): void;
}

export const silentProgress: ProgressListener = { update: () => {}, end: () => {} };

/** Counts the databases that a job is done with, beside the progress of each; of one database there is nothing to count. */
export function countingDatabases(
  listener: ProgressListener,
  title: string,
  databases: number,
): Disposable & { done: () => void } {
  if (databases < 2) return { done: () => {}, [Symbol.dispose]: () => {} };
  const shown = { expectedBytes: databases, unit: "databases" } as const;
  const meter = new ProgressMeter(listener, title, undefined, [], shown);
  return { done: () => meter.pass(1), [Symbol.dispose]: () => meter.end() };
}

/** Collects the progress of one backup, verification, repair or restore and passes it to the listener. */
export class ProgressMeter {
  readonly #listener: ProgressListener;
  readonly #title: string;
  readonly #expectedBytes: number | undefined;
  #shown: Pick<JobProgress, "expectedBytes" | "expectedFrom" | "unit">;
  readonly #storages = new Map<string, { bytes: number; state: StorageState }>();
  #bytes = 0;

  /** `shown`: what the listener gets as expected, if that is not `expectedBytes`. */
  constructor(
    listener: ProgressListener,
    title: string,
    expectedBytes: number | undefined,
    storages: readonly string[] = [],
    shown: Partial<Pick<JobProgress, "expectedBytes" | "expectedFrom" | "unit">> = {},
  ) {
    this.#listener = listener;
    this.#title = title;
    this.#expectedBytes = expectedBytes || undefined;
    const from = this.#expectedBytes === undefined ? undefined : "backup";
    this.#shown = { expectedBytes: this.#expectedBytes, expectedFrom: from, ...shown };
    for (const name of storages) this.#storages.set(name, { bytes: 0, state: "writing" });
    this.#update();
  }

  /** The share of the expected bytes processed so far, 0 to 1; undefined if no size is expected. */
  get share(): number | undefined {
    return this.#expectedBytes === undefined ? undefined : Math.min(1, this.#bytes / this.#expectedBytes);
  }

  /** Adds processed bytes. */
  pass(bytes: number): void {
    this.#bytes += bytes;
    this.#update();
  }

  /** Everything has been read, so that their number is no guess any more; the storages may still write. */
  readAll(): void {
    const expectedFrom = this.#shown.unit === undefined ? "backup" : undefined;
    this.#shown = { ...this.#shown, expectedBytes: this.#bytes, expectedFrom };
    this.#update();
  }

  /** Sets the total of bytes written to a storage. */
  storage(name: string, bytes: number): void {
    const entry = this.#storages.get(name);
    if (entry) entry.bytes = bytes;
    this.#update();
  }

  outcome({ name, state }: { name: string; state: StorageState }): void {
    const entry = this.#storages.get(name);
    if (entry) entry.state = state;
    this.#update();
  }

  end(): void {
    this.#listener.end(this.#title);
  }

  #update(): void {
    this.#listener.update({
      title: this.#title,
      bytes: this.#bytes,
      ...this.#shown,
      storages: this.#storages,
    });
  }
}
