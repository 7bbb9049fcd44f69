import { expect, test } from "bun:test";
import { eventually } from "../../../../test/lab/machine/running.ts";
import { usePostgres } from "../../../../test/lab/servers/use-postgres.ts";
import { ELSEWHERE, runRecord } from "../../../../test/suites/catalog/records.ts";
import { systemClock } from "../../../base/clock.ts";
import { Secret } from "../../../base/secret.ts";
import { parseCatalogUrl } from "../../../config/catalog-url.ts";
import { closeRuns } from "../../../jobs/close-runs.ts";
import type { JobContext } from "../../../jobs/context.ts";
import { isLeased } from "../../database-lease.ts";
import { holdLease } from "../../lease.ts";
import { openCatalog } from "../../open.ts";
import { Transactions } from "../transactions.ts";
import { fencedDo } from "./leases.ts";

const postgres = usePostgres();
const open = (url: string) => openCatalog({ type: "postgres", url: new Secret(url) }, { clock: systemClock });
const newUrl = async () => postgres.url(await postgres.createDatabase());
const errorOf = (call: Promise<unknown>) => call.then(() => undefined).catch((error) => error);
const aborted = (signal?: AbortSignal) =>
  new Promise<void>((_, reject) => signal?.addEventListener("abort", () => reject(signal.reason)));

test("leases go by the server's clock, whatever the host's", async () => {
  await using catalog = await open(await newUrl());
  const signal = new AbortController().signal;
  const serverMs = (await catalog.leaseTime(systemClock)).getTime();
  const at = (seconds: number) => new Date(serverMs + seconds * 1000).toISOString();
  for (const year of ["2001", "2099"]) {
    const beat = Promise.withResolvers<void>();
    const sleeps = [(ended?: AbortSignal) => Promise.race([beat.promise, aborted(ended)])];
    const sleep = (_: number, ended?: AbortSignal) => (sleeps.shift() ?? aborted)(ended);
    const clock = { ...systemClock, now: () => new Date(`${year}-01-01T00:00:00Z`), sleep };
    const isHere = (server: string) => isLeased({ catalog, clock }, { server, database: year });
    const runs = ["held", "over"].map((server) => ({ server, run: runRecord({ ...ELSEWHERE }) }));
    for (const { server, run } of runs) {
      await catalog.insertRun(run);
      const lease = { ...ELSEWHERE, acquired_at: at(-90), expires_at: at(server === "held" ? 60 : -30) };
      for (const name of [`${server}/${year}`, `run ${run.id}`])
        await catalog.acquireLease({ ...lease, name, run_id: run.id }, at(-90), () => "unseen");
    }
    expect([await isHere("held"), await isHere("over")]).toEqual([true, false]);
    const context = { catalog, clock, config: { server: [] }, host: "here" } as unknown as JobContext;
    await closeRuns(context);
    const left = await catalog.runs({ outcome: "RUNNING" });
    expect(runs.map(({ run }) => left.some(({ id }) => id === run.id))).toEqual([true, false]);
    const take = (server: string) =>
      holdLease(
        catalog,
        { name: `${server}/${year}`, runId: year, host: "here", pid: process.pid },
        { clock, signal },
      );
    expect(await errorOf(take("held"))).toMatchObject({ code: "locked" });
    await using _own = await take("over");
    // Clones of a machine have the same.
    const taken = (await catalog.leases()).find(({ run_id }) => run_id === year);
    expect(taken?.host_id).toBeNull();
    const expiry = async () =>
      (await catalog.leases()).find(({ run_id }) => run_id === year)?.expires_at ?? "";
    const isByServer = (expires: string) => expires > at(0) && expires < at(180);
    expect(isByServer(await expiry())).toBe(true);
    await catalog.renewLease(`over/${year}`, year, at(0));
    beat.resolve();
    await eventually(async () => (await expiry()) !== at(0));
    expect(isByServer(await expiry())).toBe(true);
  }
});

test("nobody takes a lease while a write under it is made", async () => {
  const url = await newUrl();
  await using catalog = await open(url);
  const parsed = parseCatalogUrl(url);
  if (!parsed) throw new Error();
  await using transactions = new Transactions(parsed, systemClock);
  const lease = { ...ELSEWHERE, name: "main/app", acquired_at: "2026-01-01", expires_at: "2026-01-02" };
  await catalog.acquireLease({ ...lease, run_id: "first" }, "2026-01-01", () => "unseen");
  const fence = { name: lease.name, token: Number(await catalog.leaseToken(lease.name, "first")) };
  let taking: Promise<unknown> | undefined;
  await fencedDo(transactions.do, fence)("write", async ({ rows }) => {
    taking ??= catalog.acquireLease({ ...lease, run_id: "next" }, "2026-01-03", () => "unseen");
    const waits =
      "SELECT 1 FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid))";
    await eventually(async () => (await rows(waits)).length > 0);
  });
  expect(await taking).toBeUndefined();
});
