import { access, constants, mkdir, readdir, readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { messageOf, Pg321Error } from "../../base/errors.ts";
import { isRoot } from "../../base/process/become-user.ts";
import { S3_PROVIDERS } from "../../config/config.ts";
import { isUnfinished } from "../../install/first-config.ts";
import type { Command, Invocation } from "../command.ts";
import { textOption } from "../command.ts";
import type { Places } from "../init/answers.ts";
import { placesOf, scheduleOf } from "../init/answers.ts";
import { requireBucketOptions } from "../init/bucket-options.ts";
import { Draft } from "../init/draft.ts";
import { nextSteps, prepare, proveIt, writeConfig } from "../init/finish.ts";
import { Prompts } from "../init/prompts.ts";
import { askServer } from "../init/server.ts";
import { askStorages } from "../init/storages.ts";
import { requireRoot } from "../output/install-table.ts";

const DAILY = "02:00";

export const command: Command = {
  usage: "",
  description:
    "Asks for the server, the storages and the schedule, and tries each answer at once: it connects, makes the role if\n" +
    "you agree, and writes a small object to a bucket. Then it makes keys and a short config, installs and starts the\n" +
    "service, makes the first backup, restores it into a private cluster, and runs doctor. It replaces no config and no\n" +
    "key. With --directory it needs no root and installs nothing: everything stays in that directory.",
  options: {
    directory: {
      type: "string",
      value: "DIR",
      values: { paths: "directories" },
      help: "put everything into this directory, without a service",
    },
    server: {
      type: "string",
      value: "ADDRESS",
      help: "a socket's directory, HOST:PORT or postgres:// URL (default: the socket of this host)",
    },
    "password-file": { type: "string", value: "FILE", help: "the password of the role" },
    "create-role-as": {
      type: "string",
      value: "WHO",
      help: "make the role as this user of the host (postgres), or with a superuser's URL, which is not kept",
    },
    storage: {
      type: "string",
      value: "PATH",
      values: { paths: "directories" },
      help: "a directory for backups (default: /var/backups/pg321, or backups in DIR)",
    },
    bucket: { type: "string", value: "NAME", help: "a bucket for copies off this site" },
    provider: {
      type: "string",
      value: "NAME",
      values: { words: S3_PROVIDERS },
      help: "of the bucket: backblaze-b2, cloudflare-r2, aws, generic …",
    },
    region: { type: "string", value: "NAME", help: "of the bucket" },
    endpoint: { type: "string", value: "URL", help: "of the bucket, for minio, ceph and generic" },
    "account-id": { type: "string", value: "ID", help: "of the bucket, for cloudflare-r2" },
    "access-key-id": { type: "string", value: "ID", help: "of the bucket" },
    "secret-access-key-file": { type: "string", value: "FILE", help: "of the bucket" },
    schedule: { type: "string", value: "WHEN", help: `a time of day or a cron pattern (default: ${DAILY})` },
    yes: {
      type: "boolean",
      short: "y",
      help: "ask nothing: take the defaults of everything that no option answers",
    },
  },
  examples: [
    { command: "sudo ./pg321 init", explanation: "from nothing to a first proven backup, by questions" },
    {
      command: "sudo pg321 init --yes --create-role-as postgres --storage /srv/backups",
      explanation: "without questions, for the server of this host",
    },
    {
      command:
        "pg321 init --directory ~/backups --server postgres://app@db.example.org/postgres --password-file pw",
      explanation: "without root, for a server elsewhere",
    },
  ],
  positionals: { min: 0, max: 0 },
  async run(invocation) {
    // A terminal that is closed: what this run has written is removed, as after SIGTERM.
    process.on("SIGHUP", () => process.kill(process.pid, "SIGTERM"));
    const given = textOption(invocation.arguments, "directory");
    const places = placesOf(given === undefined ? undefined : resolve(given));
    await requireNothingThere(places, invocation);
    const prompts = new Prompts(invocation);
    const when = textOption(invocation.arguments, "schedule");
    if (when !== undefined) requireSchedule(when);
    requireBucketOptions(invocation.arguments, prompts.isAsking);
    prompts.title(places.directory === undefined ? "This host" : `Directory ${places.directory}`);
    await prepare(places, invocation);
    await using draft = new Draft(invocation, places, { server: {}, storages: [], schedule: "off" });
    // The questions about the server come first, and a config needs a storage.
    draft.answers.storages.push({ name: "disk", type: "local", path: places.stateDir });
    prompts.title("The server");
    await askServer(draft, prompts, invocation);
    draft.answers.storages.pop();
    prompts.title("The storages");
    await askStorages(draft, prompts, invocation);
    prompts.title("The schedule");
    draft.answers.schedule = await askSchedule(when, prompts);
    await writeConfig(draft, invocation);
    prompts.good(`${places.configFile} written`);
    const exitCode = await proveIt(places, prompts, invocation);
    prompts.title(
      exitCode === 0 ? "The first backup is proven. Next:" : "Not everything worked (see above). Next:",
    );
    for (const step of nextSteps(places)) prompts.say(step);
    return exitCode;
  },
};

/** Throws code `usage` if there is an installation, or anything that this could replace. */
async function requireNothingThere(places: Places, invocation: Invocation): Promise<void> {
  if (places.directory !== undefined) {
    if ((await entriesOf(places.directory)).length === 0) return;
    throw new Pg321Error("usage", `init: ${places.directory} is not empty`, { hint: "name a new directory" });
  }
  if (!isRoot()) {
    throw new Pg321Error("usage", "init: installing the service needs root", {
      hint: "sudo pg321 init; or without a service and without root: pg321 init --directory DIR",
    });
  }
  requireRoot("init", invocation);
  const text = await readFile(places.configFile, "utf8").catch(() => undefined);
  if (text === undefined || isUnfinished(text)) return;
  throw new Pg321Error("usage", `init: ${places.configFile} exists: pg321 is set up here already`, {
    hint: "edit it, then run: sudo pg321 install --start",
  });
}

/** What is in the directory, which is made if it is missing. Throws code `usage` if it cannot be used. */
async function entriesOf(directory: string): Promise<string[]> {
  try {
    await mkdir(directory, { recursive: true, mode: 0o700 });
    const entries = await readdir(directory);
    await access(directory, constants.W_OK);
    return entries;
  } catch (cause) {
    throw new Pg321Error("usage", `init: directory ${directory} cannot be used: ${messageOf(cause)}`, {
      hint: "name a directory that this user can make and write to",
      cause,
    });
  }
}

function requireSchedule(text: string): string {
  const schedule = scheduleOf(text);
  if (schedule !== undefined) return schedule;
  throw new Pg321Error(
    "usage",
    `init: --schedule "${text}" is neither a time of day (02:00) nor a cron pattern`,
  );
}

async function askSchedule(given: string | undefined, prompts: Prompts): Promise<string> {
  if (given !== undefined) return requireSchedule(given);
  for (;;) {
    const answer = await prompts.text("Back up every day at (or a cron pattern)", DAILY);
    const schedule = scheduleOf(answer);
    if (schedule !== undefined) return schedule;
    prompts.bad(`"${answer}" is neither a time of day (02:00) nor a cron pattern (0 2 * * *)`);
  }
}
