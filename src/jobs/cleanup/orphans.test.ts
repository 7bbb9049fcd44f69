import { expect, test } from "bun:test";
import { backUp } from "../../../test/lab/backed-up.ts";
import { beside } from "../../../test/lab/data/shared-catalog.ts";
import { endpointLab } from "../../../test/lab/endpoint.ts";
import { settledKeys } from "./orphans.ts";

test("remains of uploads are removed of this host's settled objects alone", async () => {
  await using lab = await endpointLab();
  const keys: string[] = [];
  for (const [server, state] of [
    ["main", "CONFIRMED"],
    ["main", "INTENDED"],
    ["main", "DELETED"],
    ["shop", "CONFIRMED"],
  ] as const) {
    const object_key = `${server}/app/${crypto.randomUUID()}`;
    await backUp(lab, 5, { disk: state }, { server, object_key });
    keys.push(object_key);
  }
  const [storage] = lab.context.storages;
  if (storage === undefined) throw new Error();
  const settled = async (context: typeof lab.context) => [...(await settledKeys(context, storage, keys))];
  expect(await settled(await beside(lab.context, { other: { servers: ["shop"] } }))).toEqual(
    keys.slice(0, 1),
  );
  expect(await settled(lab.context)).toEqual([keys[0], keys[3]] as string[]);
});
