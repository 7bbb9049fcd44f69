import { afterAll, beforeAll, expect } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Clock } from "../../../src/base/clock.ts";
import { systemClock } from "../../../src/base/clock.ts";
import { Secret } from "../../../src/base/secret.ts";
import type { Catalog } from "../../../src/catalog/catalog.ts";
import { openCatalog } from "../../../src/catalog/open.ts";
import { eventually } from "../machine/running.ts";
import { type CommitRelay, startCommitRelay } from "./commit-relay.ts";
import { connectTo, disposable } from "./postgres.ts";
import { type PostgresForTests, usePostgres } from "./use-postgres.ts";

/** A catalog behind a relay, and the file of a host's spool. */
export interface SpoolPlace {
  url: string;
  /** Without the relay. */
  direct: string;
  path: string;
}

export interface Spools {
  readonly postgres: PostgresForTests;
  readonly relay: CommitRelay;
  /** Can be moved ahead by `untilBack`, and has short pauses, so that no test waits for the next look at the catalog. */
  readonly clock: Clock;
  /** An empty catalog, and a spool of its own. `isOther`: in a database of its own. */
  newPlace(options?: { isOther?: boolean }): Promise<SpoolPlace>;
  open(place: SpoolPlace): Promise<Catalog>;
  /** As another host, without a spool. */
  openDirectly(place: SpoolPlace): Promise<Catalog>;
  /** Moves the clock, by default to the next look at the catalog. */
  ahead(ms?: number): void;
  /** Resolves when the catalog is reachable again, and nothing waits. */
  untilBack(catalog: Catalog): Promise<void>;
}

const EMPTY = `DO $$ DECLARE name text; BEGIN
  FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'pg321' AND tablename <> 'schema_version' LOOP
    EXECUTE 'TRUNCATE pg321.' || name || ' CASCADE';
  END LOOP; END $$`;

export function isUnreachable(catalog: Catalog): boolean {
  return catalog.spool?.status().unreachable_since !== null;
}

export function useSpools(): Spools {
  const postgres = usePostgres();
  let relay: CommitRelay | undefined;
  let directory: string;
  let shared: string | undefined;
  let movedMs = 0;
  beforeAll(async () => {
    relay = await startCommitRelay(postgres.address.port);
    directory = await mkdtemp(join(tmpdir(), "pg321-spool-"));
  });
  afterAll(async () => {
    await relay?.[Symbol.asyncDispose]();
    await rm(directory, { recursive: true });
  });
  const clock: Clock = {
    now: systemClock.now,
    monotonicMs: () => systemClock.monotonicMs() + movedMs,
    sleep: (ms, signal) => systemClock.sleep(ms / 50, signal),
  };
  const spools: Spools = {
    ...{ postgres, clock },
    get relay() {
      if (!relay) throw new Error("before the tests");
      return relay;
    },
    async newPlace({ isOther = false } = {}) {
      const name = isOther || shared === undefined ? await postgres.createDatabase() : shared;
      if (!isOther) shared = name;
      await using admin = disposable(connectTo(postgres.address, name));
      await admin.sql.unsafe(EMPTY);
      const direct = postgres.url(name);
      const url = direct.replace(`:${postgres.address.port}/`, `:${spools.relay.port}/`);
      const path = join(directory, `${crypto.randomUUID()}.db`);
      return { direct, url: `${url}?sslmode=disable`, path };
    },
    open: ({ url, path }) =>
      openCatalog(
        { type: "postgres", url: new Secret(url) },
        { clock, spool: { path, host: "here", servers: ["main"] } },
      ),
    openDirectly: ({ direct }) =>
      openCatalog({ type: "postgres", url: new Secret(direct) }, { clock: systemClock }),
    ahead(ms = 5_000) {
      movedMs += ms;
    },
    async untilBack(catalog) {
      await eventually(async () => {
        spools.ahead();
        await catalog.leases();
        return !isUnreachable(catalog);
      });
      expect(catalog.spool?.status().waiting).toBe(0);
    },
  };
  return spools;
}
