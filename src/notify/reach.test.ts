import { expect, test } from "bun:test";
import { RECEIVERS, TOKEN } from "../../test/lab/servers/receivers.ts";
import { WebProxy } from "../base/network/proxy.ts";
import { NOTIFY_TYPES } from "../config/config.ts";
import { reach } from "./reach.ts";

test.each(NOTIFY_TYPES)("%s: reaches its receiver and sends nothing", async (type) => {
  await using receiver = await RECEIVERS[type]();
  const { signal } = new AbortController();
  await reach(receiver.config, signal);
  expect(await receiver.tries()).toBe(0);
  const refused = await reach(receiver.absent, signal).then(
    () => undefined,
    (error) => error,
  );
  const { code, message } = refused;
  expect(code).toBe("storage");
  expect(message).toMatch(/ECONNREFUSED|ENOENT/);
  expect(message).not.toContain(encodeURIComponent(TOKEN));
});

test("a proxy is what a request connects to", async () => {
  await using receiver = await RECEIVERS.webhook();
  await using proxy = await RECEIVERS.webhook();
  if (receiver.absent.type !== "webhook" || proxy.config.type !== "webhook") throw new Error("no webhook");
  const named = { place: "proxy", variable: "HTTPS_PROXY", isInFile: false };
  const through = { ...receiver.absent, proxy: new WebProxy({ ...named, url: proxy.config.url }) };
  await reach(through, new AbortController().signal);
});

test("an abort ends it with its reason", async () => {
  await using receiver = await RECEIVERS.webhook();
  const reason = new Error("ended by SIGINT");
  await expect(reach(receiver.config, AbortSignal.abort(reason))).rejects.toBe(reason);
});
