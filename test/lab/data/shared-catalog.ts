import { boundTo } from "../../../src/catalog/fleet/fenced-catalog.ts";
import type { HostRecord } from "../../../src/catalog/hosts.ts";
import type { JobContext } from "../../../src/jobs/context.ts";

interface OtherHost extends Partial<Omit<HostRecord, "servers" | "storages">> {
  servers?: readonly string[];
  storages?: readonly string[];
}

/** The context of a lab as of a host whose catalog others share: of these, named by their servers and storages. */
export async function beside(context: JobContext, others: Record<string, OtherHost>): Promise<JobContext> {
  const catalog = new Proxy(context.catalog, {
    get: (target, name) => name === "isShared" || boundTo(target, name),
  });
  const at = context.clock.now().toISOString();
  for (const [host, { servers = [], storages = [], ...change }] of Object.entries(others))
    await catalog.hosts.put({
      ...{ host, version: "1", pid: 1, started_at: at, heartbeat_at: at, stopped_at: null },
      ...{ next_runs: [], problems: [], ...change },
      servers: servers.map((name) => ({ name, at: `${name}:5432` })),
      storages: storages.map((name) => ({ name, type: "local" })),
    });
  return { ...context, catalog };
}
