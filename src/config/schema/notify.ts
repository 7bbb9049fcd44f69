import * as v from "valibot";
import { Secret } from "../../base/secret.ts";
import { ALERT_LEVELS, JOBS, type Job, NOTIFY_TYPES, type NotifyConfig } from "../config.ts";
import {
  absolutePath,
  choice,
  duration,
  facts,
  integer,
  type Leaf,
  leaf,
  secret,
  serverDatabaseNames,
  text,
} from "./leaf.ts";
import { NAME } from "./server.ts";
import { list, openTable, rule, table } from "./table.ts";
import { isTable, OutsideText } from "./values.ts";

function jobsOf(one: Leaf<Job>): Leaf<Job[]> {
  return filled(list(one, 'an array of jobs, such as ["backup", "cleanup"]'), "job");
}

/** A list with at least one item: an empty filter would silence its notifier for ever. */
function filled<T>(items: Leaf<T[]>, one: string): Leaf<T[]> {
  return v.pipe(
    items,
    v.check((given) => given.length > 0, `found an empty array, expected at least one ${one}`),
  );
}

const COMMON = {
  name: NAME,
  min_level: v.optional(choice(ALERT_LEVELS), "WARNING"),
  timeout: v.optional(duration(), "10s"),
};

/** The filters of alerts; a ping has no filter for databases, because it is about a whole run. */
const FILTERED = {
  ...COMMON,
  jobs: v.optional(jobsOf(choice(JOBS)), [...JOBS]),
  databases: v.optional(
    filled(
      list(serverDatabaseNames, 'an array such as ["app", "main/shop_*"]'),
      'name or glob ("*" for all)',
    ),
    ["*"],
  ),
};

/** The URL of a webhook is a secret: it often contains a token, and anybody who knows it can use it. */
const hookUrl: Leaf<Secret> = leaf(
  "a URL that begins with https:// or http://",
  (value) =>
    typeof value === "string" && /^https?:\/\/[^\s/]/.test(value) && URL.canParse(value)
      ? new Secret(value)
      : undefined,
  { isShown: false },
);

const address = text("a mail address", /^[^\s@<>,;"]+@[^\s@<>,;"]+$/);

/** The authorities that may sign the receiver's certificate. */
const CA_FILE = { ca_file: v.optional(absolutePath()) };

const webhook = table('a [[notify]] of type "webhook"', {
  ...FILTERED,
  type: choice(["webhook"]),
  url: hookUrl,
  ...CA_FILE,
  secret: v.optional(secret("a secret that signs the messages")),
});

const slack = table('a [[notify]] of type "slack"', {
  ...FILTERED,
  type: choice(["slack"]),
  url: hookUrl,
  ...CA_FILE,
});

const ntfy = table('a [[notify]] of type "ntfy"', {
  ...FILTERED,
  type: choice(["ntfy"]),
  url: v.optional(
    text("a URL that begins with https:// or http://", /^https?:\/\/[^\s@]+$/),
    "https://ntfy.sh",
  ),
  ...CA_FILE,
  topic: secret("a topic (anybody who knows it can read it)"),
  token: v.optional(secret("an access token")),
});

const PORTS = { starttls: 587, tls: 465, none: 25 } as const;

const email = v.pipe(
  table('a [[notify]] of type "email"', {
    ...FILTERED,
    type: choice(["email"]),
    host: text("the host name of a mail server", /^[A-Za-z0-9.:_-]+$/),
    port: v.optional(integer(1, 65_535)),
    tls: v.optional(choice(["starttls", "tls", "none"]), "starttls"),
    ...CA_FILE,
    user: v.optional(text("the name of a mail account")),
    password: v.optional(secret("a password")),
    from: address,
    to: list(address, "an array of mail addresses"),
  }),
  rule(({ user, password, tls, to }, report) => {
    if ((user === undefined) !== (password === undefined)) {
      const key = user === undefined ? "password" : "user";
      report([key], "found alone, expected user and password together");
    }
    if (tls === "none" && password !== undefined)
      report(["tls"], 'found "none" with a password, which would cross the network in plain text');
    if (Array.isArray(to) && to.length === 0)
      report(["to"], "found an empty array, expected at least one mail address");
  }),
);

const scheduledJob = choice(["backup", "cleanup", "verify", "repair", "restore-test"]);
/** A dead man's switch for restores would wait for ever: they are not reported to any. */
const refusedRestore = leaf<Job>(
  `${v.getDescription(scheduledJob)}: a dead man's switch waits for a schedule, and a restore has none; a [[notify]] of another type sends alerts about restores`,
  () => undefined,
);
const switchJob: Leaf<Job> = v.pipe(
  v.lazy((job): Leaf<Job> => (wordOf(job) === "restore" ? refusedRestore : scheduledJob)),
  facts({ alternatives: [scheduledJob] }),
);

const healthchecks = table('a [[notify]] of type "healthchecks"', {
  ...COMMON,
  type: choice(["healthchecks"]),
  jobs: v.optional(jobsOf(switchJob), ["backup"]),
  url: hookUrl,
  ...CA_FILE,
});

const command = v.pipe(
  table(
    'a [[notify]] of type "command"',
    {
      ...FILTERED,
      type: choice(["command"]),
      argv: list(text("a word of a command line", /^.*$/su), "an array: a program and its arguments"),
    },
    { command: "argv" },
  ),
  rule(({ argv }, report) => {
    const program = Array.isArray(argv) ? argv[0] : "/";
    if (typeof program !== "string" || !program.startsWith("/"))
      report(["argv"], "expected the absolute path of a program first");
  }),
);

const SCHEMAS = {
  webhook,
  slack,
  ntfy,
  email,
  healthchecks,
  command,
} satisfies Record<(typeof NOTIFY_TYPES)[number], v.GenericSchema>;

type Given = { [T in keyof typeof SCHEMAS]: v.InferOutput<(typeof SCHEMAS)[T]> }[keyof typeof SCHEMAS];

/** A notifier with an invalid type: its other keys cannot be checked. */
const untyped = v.pipe(
  openTable("a [[notify]] table", { name: NAME, type: choice(NOTIFY_TYPES) }),
  v.transform((): never => {
    throw new Error("a known type has its own schema");
  }),
);

export const notifySchema: v.GenericSchema<unknown, NotifyConfig> = v.pipe(
  v.lazy((notifier): v.GenericSchema<unknown, Given> => {
    const given = isTable(notifier) ? notifier["type"] : undefined;
    const type = NOTIFY_TYPES.find((one) => one === wordOf(given));
    return type === undefined ? untyped : SCHEMAS[type];
  }),
  facts({ alternatives: Object.values(SCHEMAS) }),
  v.transform(resolved),
);

/** A value as written, also if it comes from outside the file. */
function wordOf(value: unknown): unknown {
  return value instanceof OutsideText ? value.text : value;
}

function resolved(given: Given): NotifyConfig {
  const { timeout: timeout_ms, ...rest } = given;
  switch (rest.type) {
    case "webhook":
      return { ...rest, timeout_ms, ca_file: rest.ca_file, secret: rest.secret };
    case "ntfy":
      return {
        ...rest,
        timeout_ms,
        url: rest.url.replace(/\/+$/, ""),
        ca_file: rest.ca_file,
        token: rest.token,
      };
    case "email": {
      const { ca_file, user, password, port = PORTS[rest.tls] } = rest;
      return { ...rest, timeout_ms, ca_file, user, password, port };
    }
    case "slack":
    case "healthchecks":
      return { ...rest, timeout_ms, ca_file: rest.ca_file };
    case "command":
      return { ...rest, timeout_ms };
  }
}
