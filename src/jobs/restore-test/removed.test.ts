import { expect, test } from "bun:test";
import { LOCAL, SERVER } from "../../../test/fixtures/config-file.ts";
import { backUp } from "../../../test/lab/backed-up.ts";
import { beside } from "../../../test/lab/data/shared-catalog.ts";
import { endpointLab } from "../../../test/lab/endpoint.ts";
import { recognizeStorages } from "../markers/storage-identity.ts";
import { noteRemoved } from "./removed.ts";

test("copies that are gone are noted of this host's backups, and never of another's", async () => {
  const parts = (directory: string) => SERVER + LOCAL.replace("/srv/backup", directory);
  await using lab = await endpointLab({ parts });
  // Gives the place its marker.
  await recognizeStorages(lab.context, "backup");
  const [own, others] = [
    await backUp(lab, 5, { disk: "CONFIRMED" }),
    await backUp(lab, 5, { disk: "CONFIRMED" }, { server: "shop" }),
  ];
  const context = await beside(lab.context, { other: { servers: ["shop"] } });
  await noteRemoved(context);
  const stateOf = async ({ id }: { id: string }) =>
    (await context.catalog.copies(id)).map(({ state }) => state);
  expect([await stateOf(own), await stateOf(others)]).toEqual([["MISSING"], ["CONFIRMED"]]);
});
