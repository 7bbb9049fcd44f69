import { afterAll, beforeAll, expect, test } from "bun:test";
import { createLog } from "../../src/base/log.ts";
import { LOCAL, S3 } from "../fixtures/config-file.ts";
import { type EndpointLab, endpointLab } from "../lab/endpoint.ts";

/** Every secret of a config, each with its own text. */
const SECRETS = {
  password: "pw-Hy7Zk2Lq9",
  access_key_id: "akid-Rt5Wm8Xc",
  secret_access_key: "sak-Vb3Nj6Pd",
  session_token: "st-Gf4Ks1Qz",
  webhook: "hook-Ud8Yx2Ea",
  webhook_secret: "sign-Mi5To9Bw",
  slack: "slack-Cn7Lh3Vr",
  topic: "topic-Jp6Ez4Ku",
  ntfy: "ntfy-Sd2Xa8Fo",
  mail: "mail-Wg9Bt5Iy",
  healthchecks: "hc-Zq1Rm7Nc",
  token: "bearer-Tk4Hv6Pj0Ls",
} as const;

const PARTS = `[[server]]
name = "main"
host = "db.example.com"
password = "${SECRETS.password}"
${LOCAL}${S3.replace('"AK"', `"${SECRETS.access_key_id}"`).replace('"SK"', `"${SECRETS.secret_access_key}"`)}
provider = "generic"
endpoint = "https://s3.example.com"
session_token = "${SECRETS.session_token}"
`;
const NOTIFY = `[[notify]]
name = "ops"
type = "webhook"
url = "https://hooks.example.com/${SECRETS.webhook}"
secret = "${SECRETS.webhook_secret}"
[[notify]]
name = "chat"
type = "slack"
url = "https://chat.example.com/${SECRETS.slack}"
[[notify]]
name = "phone"
type = "ntfy"
url = "https://ntfy.example.com"
topic = "${SECRETS.topic}"
token = "${SECRETS.ntfy}"
[[notify]]
name = "post"
type = "email"
host = "mail.example.com"
user = "u"
password = "${SECRETS.mail}"
from = "a@example.com"
to = ["b@example.com"]
[[notify]]
name = "dead-man"
type = "healthchecks"
url = "https://hc.example.com/${SECRETS.healthchecks}"
`;

let lab: EndpointLab;

beforeAll(async () => {
  lab = await endpointLab({ parts: PARTS, more: NOTIFY });
});
afterAll(() => lab[Symbol.asyncDispose]());

test("no secret in the config appears in an answer or in the log", async () => {
  const lines: string[] = [];
  const log = createLog({ format: "json", level: "debug", write: (line) => void lines.push(line) });
  const { address } = await lab.serve(`listen = "127.0.0.1:0"\ntoken = "${SECRETS.token}"`, { log });
  const right = { authorization: `Bearer ${SECRETS.token}` };
  const said: string[] = [];
  for (const path of [
    "/",
    "/?page=9",
    "/status",
    "/status?format=json",
    "/status?format=x",
    "/metrics",
    "/health",
    "/ready",
    "/x",
  ])
    for (const method of ["GET", "HEAD", "POST"])
      for (const headers of [
        right,
        { authorization: "Bearer wrong" },
        { ...right, host: "evil.example" },
        {},
      ]) {
        const answer = await fetch(address + path, { method, headers });
        said.push(`${JSON.stringify([...answer.headers])} ${await answer.text()}`);
      }
  const { context } = lab.live;
  lab.live.context = () => {
    throw new Error("broken");
  };
  for (const path of ["/", "/status", "/metrics"])
    said.push(await (await fetch(address + path, { headers: right })).text());
  lab.live.context = context;
  const all = [...said, ...lines].join("\n");
  expect(all).toContain("s3.example.com");
  const leaked = Object.entries(SECRETS).filter(([, secret]) => all.includes(secret));
  expect(leaked).toEqual([]);
  expect(all).not.toMatch(/\.tsx?:\d+|\n\s+at /);
});
