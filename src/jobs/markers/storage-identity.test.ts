import { expect, test } from "bun:test";
import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { LOCAL, SERVER } from "../../../test/fixtures/config-file.ts";
import { backUp, hoursAgo } from "../../../test/lab/backed-up.ts";
import { beside } from "../../../test/lab/data/shared-catalog.ts";
import { endpointLab } from "../../../test/lab/endpoint.ts";
import { acceptStorage, recognizeStorages } from "./storage-identity.ts";

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

test("the place of another host's storage is not taken over under another name, with a marker or without one", async () => {
  const parts = (directory: string) => SERVER + LOCAL.replace("/srv/backup", join(directory, "disk"));
  for (const isMarked of [true, false])
    for (const [others, name] of [
      [{ other: { storages: ["nas"] } }, "nas"],
      [{ other: {} }, "disk"],
    ] as const) {
      await using lab = await endpointLab({ parts });
      const { catalog, storages } = lab.context;
      const backup = await backUp(lab, 5, { nas: "CONFIRMED" });
      const object = join(lab.directory, "disk", backup.object_key);
      await mkdir(dirname(object), { recursive: true });
      await writeFile(object, "");
      const [storage] = storages;
      if (isMarked && storage) {
        await acceptStorage(await beside(lab.context, { other: { storages: ["nas"] } }), storage);
        await catalog.identities.rename([{ from: "disk", to: "nas" }]);
      }
      await recognizeStorages(await beside(lab.context, others), "backup");
      expect((await catalog.copies(backup.id)).map((copy) => copy.storage)).toEqual([name]);
    }
});
