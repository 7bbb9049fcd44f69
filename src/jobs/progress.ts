import type { SinkOutcome } from "../stream/fan-out.ts";

export type StorageState = "writing" | SinkOutcome<unknown>["state"];

/** How far a job is, told as it goes; the terminal and the log show it. */
export interface JobProgress {
  /** What is being done, for a person: `backup main/app`. */
  title: string;
  /** Bytes of the dump (or of the object, where only ciphertext moves) that passed. */
  bytes: number;
  /** What `bytes` is expected to reach, where it can be told. */
  expectedBytes: number | undefined;
  /** For each storage the bytes that it has taken. */
  storages: ReadonlyMap<string, { bytes: number; state: StorageState }>;
}

export interface ProgressListener {
  update(progress: JobProgress): void;
  /** The work of that title has ended. */
  end(title: string): void;
}

export const silentProgress: ProgressListener = { update: () => {}, end: () => {} };

/** Collects the progress of one backup, verification or restore and tells the listener of it. */
export class ProgressMeter {
  readonly #listener: ProgressListener;
  readonly #title: string;
  readonly #expectedBytes: number | undefined;
  readonly #storages = new Map<string, { bytes: number; state: StorageState }>();
  #bytes = 0;

  constructor(
    listener: ProgressListener,
    title: string,
    expectedBytes: number | undefined,
    storages: readonly string[] = [],
  ) {
    this.#listener = listener;
    this.#title = title;
    this.#expectedBytes = expectedBytes || undefined;
    for (const name of storages) this.#storages.set(name, { bytes: 0, state: "writing" });
    this.#tell();
  }

  /** Share of the expected bytes that passed, 0 to 1; undefined where nothing is expected. */
  get share(): number | undefined {
    return this.#expectedBytes === undefined ? undefined : Math.min(1, this.#bytes / this.#expectedBytes);
  }

  /** More bytes passed. */
  pass(bytes: number): void {
    this.#bytes += bytes;
    this.#tell();
  }

  /** All the bytes that a storage has taken. */
  storage(name: string, bytes: number): void {
    const entry = this.#storages.get(name);
    if (entry) entry.bytes = bytes;
    this.#tell();
  }

  outcome({ name, state }: { name: string; state: StorageState }): void {
    const entry = this.#storages.get(name);
    if (entry) entry.state = state;
    this.#tell();
  }

  end(): void {
    this.#listener.end(this.#title);
  }

  #tell(): void {
    this.#listener.update({
      title: this.#title,
      bytes: this.#bytes,
      expectedBytes: this.#expectedBytes,
      storages: this.#storages,
    });
  }
}
