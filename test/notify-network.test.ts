import { expect, test } from "bun:test";
import { systemClock } from "../src/base/clock.ts";
import { Secret } from "../src/base/secret.ts";
import type { NotifyConfig } from "../src/config/config.ts";
import { withProxies } from "../src/config/proxy.ts";
import { sendNotice } from "../src/notify/send.ts";
import { startAuthority } from "./lab/machine/certificates.ts";
import { startConnectProxy } from "./lab/servers/connect-proxy.ts";
import { freePort } from "./lab/servers/free-port.ts";
import { RECEIVERS, smtpReceiver, TOKEN } from "./lab/servers/receivers.ts";
import { startTlsFront } from "./lab/servers/tls-front.ts";
import { noticeOf } from "./suites/notifier-conformance.ts";

const send = (config: NotifyConfig) =>
  sendNotice(config, noticeOf({}), { clock: systemClock, signal: new AbortController().signal });
const failure = (config: NotifyConfig) =>
  send(config).then(
    () => expect.unreachable("it was sent"),
    (error) => error,
  );

type HttpType = "webhook" | "slack" | "ntfy" | "healthchecks";
const HTTP_TYPES: readonly HttpType[] = ["webhook", "slack", "ntfy", "healthchecks"];

/** A receiver, and the same behind TLS, at `origin`. */
async function behindTls(type: HttpType) {
  await using stack = new AsyncDisposableStack();
  const receiver = stack.use(await RECEIVERS[type]());
  const authority = stack.use(await startAuthority());
  const port = Number(new URL(urlOf(receiver.config)).port);
  const front = stack.use(await startTlsFront(port, await authority.issue("localhost")));
  const all = stack.move();
  return {
    receiver,
    caFile: authority.file,
    host: `localhost:${front.port}`,
    config: at(receiver.config, `https://localhost:${front.port}`),
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  };
}

function urlOf(config: NotifyConfig): string {
  if (!("url" in config)) throw new Error("no receiver by HTTP");
  return config.url instanceof Secret ? config.url.reveal() : config.url;
}

/** The same path elsewhere. */
function at(config: NotifyConfig, origin: string): NotifyConfig {
  const { pathname } = new URL(urlOf(config));
  if (config.type === "ntfy") return { ...config, url: origin };
  return { ...config, url: new Secret(`${origin}${pathname}`) } as NotifyConfig;
}

const proxied = (config: NotifyConfig, env: Record<string, string>) => {
  const [one] = withProxies({ storage: [], notify: [config] }, env).notify;
  return one as NotifyConfig;
};

test.each(HTTP_TYPES)("%s: a private authority is trusted with ca_file alone", async (type) => {
  await using lan = await behindTls(type);
  await send({ ...lan.config, ca_file: lan.caFile } as NotifyConfig);
  expect(await lan.receiver.tries()).toBe(1);
  const error = await failure(lan.config);
  expect(error.message).toStartWith(
    "the certificate of the receiver is not trusted (UNABLE_TO_VERIFY_LEAF_SIGNATURE)",
  );
  expect(error.message).toContain("ca_file");
  expect(error).toMatchObject({ retryable: true });
  expect((await failure({ ...lan.config, ca_file: "/nowhere/ca.pem" } as NotifyConfig)).message).toBe(
    "ca_file /nowhere/ca.pem: there is no such file",
  );
  expect(await lan.receiver.tries()).toBe(1);
});

test.each(["tls", "starttls"] as const)(
  "email by %s: a private authority is trusted with ca_file alone",
  async (tls) => {
    await using receiver = await smtpReceiver(tls);
    await send(receiver.config);
    const error = await failure({ ...receiver.config, ca_file: undefined } as NotifyConfig);
    expect(error.message).toStartWith(
      "the certificate of the receiver is not trusted (DEPTH_ZERO_SELF_SIGNED_CERT)",
    );
    expect(error.message).toContain("ca_file");
  },
);

test.each(HTTP_TYPES)("%s: goes through the proxy, and past it for NO_PROXY", async (type) => {
  await using lan = await behindTls(type);
  await using proxy = await startConnectProxy("user:password");
  const config = { ...lan.config, ca_file: lan.caFile } as NotifyConfig;
  await send(proxied(config, { HTTPS_PROXY: proxy.url, NO_PROXY: "localhost" }));
  expect(proxy.asked).toEqual([]);
  await send(proxied(config, { HTTPS_PROXY: proxy.url }));
  expect(proxy.asked).toEqual([lan.host]);
  expect(await lan.receiver.tries()).toBe(2);
});

test.each(HTTP_TYPES)(
  "%s: a proxy that is dead or refuses is named; address, path and password are not",
  async (type) => {
    await using receiver = await RECEIVERS[type]();
    const place = `127.0.0.1:${await freePort()}`;
    const env = (url: string) => ({ HTTPS_PROXY: url, HTTP_PROXY: url });
    for (const origin of ["https://hidden.example.com", "http://hidden.example.com"]) {
      const dead = await failure(proxied(at(receiver.config, origin), env(`http://user:s3cret@${place}`)));
      expect(dead.message).toStartWith(
        `no answer from the proxy ${place} (ECONNREFUSED); check that the proxy runs`,
      );
      expect(dead).toMatchObject({ retryable: true });
      await using proxy = await startConnectProxy("user:s3cret");
      const refused = await failure(
        proxied(at(receiver.config, origin), env(`http://user:wr0ng@${proxy.place}`)),
      );
      expect(refused.message).toStartWith(
        `the proxy ${proxy.place} refuses to connect to the receiver's host: 407`,
      );
      expect(refused).toMatchObject({ retryable: false });
      const told = dead.message + refused.message;
      for (const hidden of ["s3cret", "wr0ng", "hidden", encodeURIComponent(TOKEN)])
        expect(told).not.toContain(hidden);
    }
  },
);
