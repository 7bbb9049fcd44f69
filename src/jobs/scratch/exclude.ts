import type { ServerConfig } from "../../config/config.ts";
import type { JobContext } from "../context.ts";

/** A server's config that excludes the scratch databases of restore tests, which are copies of what is backed up. */
export async function withoutScratch(
  { catalog }: Pick<JobContext, "catalog">,
  server: ServerConfig,
): Promise<ServerConfig> {
  const scratches = await catalog.scratchDatabases.all();
  if (scratches.length === 0) return server;
  return { ...server, exclude: [...server.exclude, ...scratches.map(({ name }) => `=${name}`)] };
}
