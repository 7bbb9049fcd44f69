/**
 * Processes the items, at most `limit` at the same time. An error ends only its worker; the first one is thrown after all
 * workers have ended, so that nothing runs any longer when the caller closes what they use. `worker` counts from 0.
 */
export async function inParallel<T>(
  items: readonly T[],
  limit: number,
  work: (item: T, worker: number) => Promise<void>,
): Promise<void> {
  const queue = [...items];
  const worker = async (number: number) => {
    for (let item = queue.shift(); item !== undefined; item = queue.shift()) await work(item, number);
  };
  const ended = await Promise.allSettled(Array.from({ length: limit }, (_, number) => worker(number)));
  for (const result of ended) if (result.status === "rejected") throw result.reason;
}
