import type { JobProgress, ProgressListener } from "../jobs/progress.ts";
import type { ProgressStatus } from "../status/report.ts";

/** Keeps the progress of a run for status requests, and passes it on to another listener. */
export class LiveProgress implements ProgressListener {
  readonly #works = new Map<string, JobProgress>();
  readonly #next: ProgressListener;

  constructor(next: ProgressListener) {
    this.#next = next;
  }

  update(progress: JobProgress): void {
    // `/status` shows bytes only.
    if (progress.unit === undefined) this.#works.set(progress.title, progress);
    this.#next.update(progress);
  }

  end(title: string): void {
    this.#works.delete(title);
    this.#next.end(title);
  }

  status(): ProgressStatus[] {
    return [...this.#works.values()].map(({ title, bytes, expectedBytes, storages }) => ({
      title,
      bytes,
      expected_bytes: expectedBytes ?? null,
      storages: [...storages].map(([storage, progress]) => ({ storage, ...progress })),
    }));
  }
}
