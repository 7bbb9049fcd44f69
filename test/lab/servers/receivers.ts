import { chmod, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SMTPServer } from "smtp-server";
import { Secret } from "../../../src/base/secret.ts";
import type { EmailConfig, NotifyConfig } from "../../../src/config/config.ts";
import { ALERT_LEVELS, JOBS } from "../../../src/config/config.ts";

/** The reaction of a receiver to the next message. `fail`: temporary error; `refuse`: final error; `stall`: no answer. */
export type Behaviour = "take" | "fail" | "refuse" | "stall";

/** A receiver of notices on the loopback address. */
export interface Receiver extends AsyncDisposable {
  /** The config of the notifier that reaches it. */
  config: NotifyConfig;
  /** The same config, with an address at which nothing listens. */
  absent: NotifyConfig;
  behave(behaviour: Behaviour): Promise<void>;
  /** The accepted messages, each as one text; for HTTP with the path. */
  taken(): Promise<string[]>;
  /** The number of attempts that have reached it, accepted or not. */
  tries(): Promise<number>;
}

export const TOKEN = "s3cret-t0ken/üñ";
/** Nothing listens at this port on any machine. */
const CLOSED_PORT = 1;

const COMMON = { name: "ops", min_level: ALERT_LEVELS[0], jobs: [...JOBS], timeout_ms: 10_000 };
const FILTERED = { ...COMMON, databases: ["*"] };

export interface HttpReceiver extends Receiver {
  requests: { method: string; url: URL; headers: Headers; body: string }[];
  answerWith(make: () => Response): void;
}

const STATUSES = { take: 200, fail: 503, refuse: 404 };

/** A real HTTP server; `configFor` returns the config for it. */
async function httpReceiver(configFor: (origin: string) => NotifyConfig): Promise<HttpReceiver> {
  const requests: HttpReceiver["requests"] = [];
  const taken: string[] = [];
  const never = Promise.withResolvers<Response>();
  let answer: () => Response | Promise<Response> = () => new Response("ok");
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    idleTimeout: 0,
    async fetch(request) {
      const { method, headers } = request;
      const url = new URL(request.url);
      const body = await request.text();
      requests.push({ method, url, headers, body });
      const response = await answer();
      if (response.ok) taken.push(`${url.pathname} ${body}`);
      return response;
    },
  });
  return {
    config: configFor(`http://127.0.0.1:${server.port}`),
    absent: configFor(`http://127.0.0.1:${CLOSED_PORT}`),
    requests,
    answerWith(make) {
      answer = make;
    },
    async behave(behaviour) {
      // The answer quotes the request, as real receivers do.
      answer =
        behaviour === "stall"
          ? () => never.promise
          : () => new Response(`${requests.at(-1)?.url} ${TOKEN}`, { status: STATUSES[behaviour] });
    },
    taken: async () => taken,
    tries: async () => requests.length,
    async [Symbol.asyncDispose]() {
      never.resolve(new Response());
      await server.stop(true);
    },
  };
}

export const RECEIVERS = {
  webhook: () =>
    httpReceiver((origin) => ({
      ...FILTERED,
      type: "webhook",
      url: new Secret(`${origin}/hook/${encodeURIComponent(TOKEN)}`),
      secret: new Secret(TOKEN),
    })),
  slack: () =>
    httpReceiver((origin) => ({
      ...FILTERED,
      type: "slack",
      url: new Secret(`${origin}/services/${encodeURIComponent(TOKEN)}`),
    })),
  ntfy: () =>
    httpReceiver((origin) => ({
      ...FILTERED,
      type: "ntfy",
      url: origin,
      topic: new Secret("hidden-topic"),
      token: new Secret("ntfy-t0ken"),
    })),
  healthchecks: () =>
    httpReceiver((origin) => ({
      ...COMMON,
      type: "healthchecks",
      url: new Secret(`${origin}/ping/${encodeURIComponent(TOKEN)}`),
    })),
  email: () => smtpReceiver("starttls"),
  command: () => commandReceiver(),
};

/** A real SMTP server that requires TLS and a login; with `none` it has no TLS. */
export async function smtpReceiver(tls: EmailConfig["tls"]): Promise<Receiver> {
  const directory = await mkdtemp(join(tmpdir(), "pg321-smtp-"));
  const { key, cert, certFile } = await makeCertificate(directory);
  const taken: string[] = [];
  let tries = 0;
  let behaviour: Behaviour = "take";
  const server = new SMTPServer({
    secure: tls === "tls",
    key,
    cert,
    authMethods: ["PLAIN"],
    disabledCommands: tls === "none" ? ["STARTTLS"] : [],
    allowInsecureAuth: tls === "none",
    authOptional: tls === "none",
    closeTimeout: 100,
    onAuth({ username, password }, _session, done) {
      if (username === "pg321" && password === TOKEN) done(null, { user: username });
      else done(Object.assign(new Error(`wrong password ${password}`), { responseCode: 535 }));
    },
    onData(stream, session, done) {
      let text = "";
      stream.on("data", (chunk: Buffer) => {
        text += chunk.toString("utf8");
      });
      stream.on("end", () => {
        tries++;
        if (behaviour === "stall") return;
        if (behaviour === "fail") return done(replyError(451, `try again later, ${TOKEN}`));
        if (behaviour === "refuse") return done(replyError(554, `no, ${TOKEN}`));
        const envelope = session.envelope.rcptTo.map(({ address }) => address);
        taken.push(`${envelope} secure=${session.secure}\n${text}`);
        done();
      });
    },
  });
  server.on("error", () => {});
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  const config: EmailConfig = {
    ...FILTERED,
    type: "email",
    host: "127.0.0.1",
    port: address.port,
    tls,
    ca_file: certFile,
    user: "pg321",
    password: new Secret(TOKEN),
    from: "pg321@example.com",
    to: ["ops@example.com", "boss@example.com"],
  };
  return {
    config,
    absent: { ...config, port: CLOSED_PORT },
    behave: async (next) => {
      behaviour = next;
    },
    taken: async () => taken,
    tries: async () => tries,
    async [Symbol.asyncDispose]() {
      await new Promise<void>((resolve) => server.close(resolve));
      await rm(directory, { recursive: true });
    },
  };
}

function replyError(responseCode: number, message: string): Error {
  return Object.assign(new Error(message), { responseCode });
}

/** A self-signed certificate for the loopback address. */
async function makeCertificate(directory: string): Promise<{ key: string; cert: string; certFile: string }> {
  const [keyFile, certFile] = [join(directory, "key.pem"), join(directory, "cert.pem")];
  const child = Bun.spawn(
    [
      ...["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"],
      ...["-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"],
      ...["-keyout", keyFile, "-out", certFile],
    ],
    { stdio: ["ignore", "ignore", "ignore"] },
  );
  if ((await child.exited) !== 0) throw new Error("openssl could not make a certificate");
  return { key: await readFile(keyFile, "utf8"), cert: await readFile(certFile, "utf8"), certFile };
}

const PROGRAM = `#!/bin/sh
cd "$1" || exit 1
echo >>tries
case $(cat behaviour) in
take) cat >>taken ;;
fail) echo "busy" >&2; exit 75 ;;
refuse) echo "never" >&2; exit 64 ;;
stall) exec sleep 1000 ;;
esac
`;

/** A real program. */
async function commandReceiver(): Promise<Receiver> {
  const directory = await mkdtemp(join(tmpdir(), "pg321-command-"));
  const at = (name: string) => join(directory, name);
  await writeFile(at("tell"), PROGRAM);
  await chmod(at("tell"), 0o700);
  await writeFile(at("behaviour"), "take");
  const lines = async (name: string) => {
    const file = Bun.file(at(name));
    return (await file.exists()) ? (await file.text()).split("\n").slice(0, -1) : [];
  };
  const config = { ...FILTERED, type: "command", argv: [at("tell"), directory] } as const;
  return {
    config: { ...config, argv: [...config.argv] },
    absent: { ...config, argv: [at("nothing-here")] },
    behave: (behaviour) => writeFile(at("behaviour"), behaviour),
    taken: () => lines("taken"),
    tries: async () => (await lines("tries")).length,
    [Symbol.asyncDispose]: () => rm(directory, { recursive: true }),
  };
}
