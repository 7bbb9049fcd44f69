import { mkdir, readFile, writeFile } from "node:fs/promises";
import { Pg321Error } from "../../base/errors.ts";
import { ownProgram } from "../../base/process/own-program.ts";
import { shellQuoted } from "../../base/text/shell.ts";
import { DEFAULT_CONFIG_PATH } from "../../config/load.ts";
import { type Ownership, replaceBy } from "../../install/files.ts";
import { firstConfig } from "../../install/first-config.ts";
import { SERVICE_USER, serviceAccount } from "../../install/host.ts";
import type { InstallReport } from "../../install/install.ts";
import { writeNewKeys } from "../../install/new-keys.ts";
import { DROP_IN_FILE } from "../../install/storages.ts";
import { currentRecipients, readIdentityFile } from "../../sealed/identity.ts";
import type { Invocation } from "../command.ts";
import { stepTable } from "../output/install-table.ts";
import type { Places } from "./answers.ts";
import { configText } from "./answers.ts";
import type { Draft } from "./draft.ts";
import type { Prompts } from "./prompts.ts";

/** Runs a command of pg321 with the terminal of this one; resolves with its exit code. */
export async function runOwn(words: readonly string[], { env, signal }: Invocation): Promise<number> {
  signal.throwIfAborted();
  const child = Bun.spawn([...ownProgram(), ...words], { env, stdio: ["inherit", "inherit", "inherit"] });
  // ^C reaches both processes; a SIGTERM is for this one, which must wait for the other.
  const onAbort = () => child.kill("SIGTERM");
  signal.addEventListener("abort", onAbort, { once: true });
  const exitCode = await child.exited;
  signal.removeEventListener("abort", onAbort);
  signal.throwIfAborted();
  return exitCode;
}

/**
 * Runs `install` and shows its steps, but not what it would have a person do next: init does that. Throws code `usage` if
 * it fails.
 */
async function runInstall(option: "--generate-keys" | "--start", invocation: Invocation): Promise<void> {
  const { env, output } = invocation;
  invocation.signal.throwIfAborted();
  const child = Bun.spawn([...ownProgram(), "install", option, "--json"], {
    env,
    stdio: ["ignore", "pipe", "inherit"],
  });
  const [stdout, exitCode] = await Promise.all([child.stdout.text(), child.exited]);
  invocation.signal.throwIfAborted();
  if (stdout !== "") {
    const { steps } = JSON.parse(stdout) as Pick<InstallReport, "steps">;
    // The config, and what follows from it, is not complete before the last answer.
    const isLater = (what: string) => what === DROP_IN_FILE || what === DEFAULT_CONFIG_PATH;
    const shown = option === "--start" ? steps : steps.filter(({ what }) => !isLater(what));
    output.print(stepTable(shown, output.style));
  }
  if (exitCode === 0) return;
  throw new Pg321Error("usage", `init: pg321 install ${option} failed`, {
    hint: "correct the cause above, then run pg321 init again",
  });
}

/** Prepares an empty installation: the service's user, directories and keys, or the directory. */
export async function prepare(places: Places, invocation: Invocation): Promise<void> {
  if (places.directory === undefined) return runInstall("--generate-keys", invocation);
  await mkdir(places.stateDir, { recursive: true, mode: 0o700 });
}

/** Writes the keys, if `install` has not done so, and the config: never over one that a person has edited. */
export async function writeConfig(draft: Draft, invocation: Invocation): Promise<void> {
  const { places, answers } = draft;
  if (places.directory !== undefined) {
    const { recipient } = await writeNewKeys(places, undefined, invocation.clock);
    await writeFile(places.configFile, configText(answers, places, recipient), { flag: "wx", mode: 0o600 });
    draft.keep();
    return;
  }
  const recipient = currentRecipients(
    (await readIdentityFile(await readFile(places.identityFile, "utf8"))).facts,
  )[0];
  if (recipient === undefined) throw new Error("an identity file has an identity");
  if ((await readFile(places.configFile, "utf8")) !== firstConfig(recipient))
    throw new Pg321Error("usage", `init: ${places.configFile} has been edited meanwhile, and stays as it is`);
  const account = await serviceAccount();
  const owner: Ownership = { name: `root:${SERVICE_USER}`, uid: 0, gid: account?.gid, mode: 0o640 };
  await replaceBy(places.configFile, owner, (file) =>
    Bun.write(file, configText(answers, places, recipient)),
  );
  draft.keep();
}

/** The first backup, its proof and a look at everything. Resolves with the exit code of the first that failed. */
export async function proveIt(places: Places, prompts: Prompts, invocation: Invocation): Promise<number> {
  const { directory, configFile } = places;
  const config = directory === undefined ? [] : ["--config", configFile];
  if (directory === undefined) {
    prompts.title("The service");
    await runInstall("--start", invocation);
  }
  const results: number[] = [];
  for (const [title, command] of [
    ["The first backup", "backup"],
    ["Its proof: a restore into a private cluster", "restore-test"],
    ["Whether anything is missing", "doctor"],
  ] as const) {
    prompts.title(title);
    results.push(await runOwn([command, ...config], invocation));
    // Without a backup there is nothing to prove.
    if (command === "backup" && ![0, 3].includes(results[0] ?? 0)) break;
  }
  return results.find((exitCode) => exitCode !== 0) ?? 0;
}

/** What a person must do next, to keep what was made. */
export function nextSteps({ directory, configFile }: Places): string[] {
  const command = directory === undefined ? "sudo pg321" : `pg321 --config ${shellQuoted(configFile)}`;
  return [
    `${command} export-keys FILE   # the keys, with a passphrase: without them no backup opens. Keep it elsewhere`,
    `${command} status             # which of the five marks of 3-2-1-1-0 each database holds`,
    ...(directory === undefined ? [] : [`${command} run                # the schedule, in the foreground`]),
  ];
}
