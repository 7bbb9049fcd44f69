import { expect, test } from "bun:test";
import { LOCAL } from "../../test/fixtures/config-file.ts";
import { hoursAgo } from "../../test/lab/backed-up.ts";
import { beside } from "../../test/lab/data/shared-catalog.ts";
import { endpointLab } from "../../test/lab/endpoint.ts";
import { StorageChecks } from "./storage-checks.ts";

test("databases are gone if no host has their server, and not while another host has it", async () => {
  const server = '[[server]]\nname = "main"\nhost = "127.0.0.1"\nport = 1\n';
  await using lab = await endpointLab({
    parts: (directory) => server + LOCAL.replace("/srv/backup", directory),
  });
  const { overview } = lab.context.catalog;
  for (const name of ["main", "shop", "former"]) await overview.seeDatabases(name, ["app"], hoursAgo(1));
  await new StorageChecks().look(await beside(lab.context, { other: { servers: ["shop"] } }));
  const there = (await overview.databases()).filter(({ gone_at }) => gone_at === null);
  expect(there.map((one) => one.server)).toEqual(["main", "shop"]);
});
