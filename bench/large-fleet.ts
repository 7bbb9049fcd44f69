import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { hostRecord } from "../test/suites/catalog/hosts.ts";
import type { Shape } from "./catalog-shape.ts";
import { configOf, contextIn } from "./large-catalog.ts";

/** Gives each server of a catalog to a host of its own, and this host's config the server `own` alone. */
export async function makeFleet(directory: string, shape: Shape, own: string): Promise<void> {
  await writeFile(join(directory, "config.toml"), configOf(directory, shape, [own]), { mode: 0o600 });
  await using context = await contextIn(directory);
  const { catalog, clock, host, config } = context;
  // Later ones than the bench takes, so that no host falls silent in it.
  const heartbeat_at = new Date((await catalog.leaseTime(clock)).getTime() + 3_600_000).toISOString();
  const storages = config.storage.map(({ name, type }) => ({ name, type }));
  const whole = catalog.whole ?? catalog;
  for (let server = 0; server < (shape.servers ?? 0); server++) {
    const name = `server-${server}`;
    const servers = [{ name, at: `${name}.example:5432` }];
    const record = { host: name === own ? host : `host-${server}`, heartbeat_at, storages, servers };
    await whole.hosts.put(hostRecord({ ...record, problems: [] }));
  }
}
