import { expect, test } from "bun:test";
import { LOCAL, SERVER } from "../../../test/fixtures/config-file.ts";
import { hoursAgo } from "../../../test/lab/backed-up.ts";
import { beside } from "../../../test/lab/data/shared-catalog.ts";
import { endpointLab } from "../../../test/lab/endpoint.ts";
import { acceptStorage } from "./storage-identity.ts";

test("a directory is not accepted under the name of another host's storage, because their records would mix", async () => {
  const parts = (directory: string) => SERVER + LOCAL.replace("/srv/backup", directory);
  await using lab = await endpointLab({ parts });
  const [storage] = lab.context.storages;
  if (storage === undefined) throw new Error();
  await lab.context.catalog.identities.confirm("disk", crypto.randomUUID(), hoursAgo(1), "another place");
  const accept = async (context: typeof lab.context) =>
    acceptStorage(context, storage).catch((error) => ({ code: error.code, hint: error.hint }));
  const accepted = accept(await beside(lab.context, { other: { storages: ["disk"] } }));
  expect(await accepted).toEqual({ code: "usage", hint: expect.stringContaining("other") });
  expect(await accept(lab.context)).toEqual({ wasMarked: false });
});
