import { readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Clock } from "../base/clock.ts";
import { messageOf, Pg321Error } from "../base/errors.ts";
import { MINUTE_MS } from "../base/limits.ts";
import type { Log } from "../base/log.ts";
import { plural } from "../base/text/amounts.ts";

/**
 * The daemon's answer to a SIGHUP, for the unit's `ExecReload=`. A `pg321 check` there would not do: systemd 252 mounts
 * no credentials for it, and the daemon refuses more, such as another catalog or an address that is in use.
 */
export interface ReloadVerdict {
  /** The process that answers. */
  pid: number;
  /** 0 at the start of the daemon, then one more at each reload. */
  count: number;
  /** The mistakes of a config that was refused; empty if the config is in force. */
  errors: string[];
}

type Environment = Readonly<Record<string, string | undefined>>;

const LOOK_PAUSE_MS = 50;
/** Reading a config takes moments; storages that do not answer may add 10 s. */
const ANSWER_MS_MAX = MINUTE_MS;

/** The file of the unit's runtime directory that holds the verdict; undefined outside a unit. */
function verdictFile({ RUNTIME_DIRECTORY }: Environment): string | undefined {
  const [directory] = RUNTIME_DIRECTORY?.split(":") ?? [];
  return directory ? join(directory, "reload.json") : undefined;
}

async function writeVerdict(file: string, verdict: ReloadVerdict): Promise<void> {
  await writeFile(`${file}.tmp`, JSON.stringify(verdict), { mode: 0o600 });
  await rename(`${file}.tmp`, file);
}

/**
 * Sends a SIGHUP to the unit's main process and waits for its verdict. Resolves with undefined if that process is of
 * an older version, which gives none. Throws code `usage` for a config that was refused, and outside a unit.
 */
export async function askForReload(
  env: Environment,
  { clock, signal }: { clock: Clock; signal: AbortSignal },
): Promise<ReloadVerdict | undefined> {
  const pid = Number(env["MAINPID"]);
  const file = verdictFile(env);
  if (file === undefined || !Number.isInteger(pid) || pid <= 1)
    throw new Pg321Error(
      "usage",
      "run: --reload is for the unit, which names the daemon's process (MAINPID)",
      {
        hint: "systemctl reload pg321; or send SIGHUP to a daemon that runs without systemd",
      },
    );
  const before = await readVerdict(file);
  process.kill(pid, "SIGHUP");
  if (before?.pid !== pid) return undefined;
  const untilMs = clock.monotonicMs() + ANSWER_MS_MAX;
  for (;;) {
    const verdict = await readVerdict(file);
    if (verdict !== undefined && (verdict.pid !== pid || verdict.count > before.count))
      return accepted(verdict);
    if (!isAlive(pid)) throw new Pg321Error("terminated", "the daemon ended before it had loaded the config");
    if (clock.monotonicMs() > untilMs)
      throw new Pg321Error("locked", `the daemon did not answer within ${ANSWER_MS_MAX / 1000} s`, {
        hint: "journalctl -u pg321 shows what it is doing",
      });
    await clock.sleep(LOOK_PAUSE_MS, signal);
  }
}

function accepted(verdict: ReloadVerdict): ReloadVerdict {
  const { length } = verdict.errors;
  if (length === 0) return verdict;
  // The daemon has logged each of them, to the same journal.
  const message = `the changed config was refused, and the previous one stays in force: the log above has ${length === 1 ? "its mistake" : `its ${length} mistakes`}`;
  throw new Pg321Error("usage", message, { hint: REFUSAL_HINT });
}

/** The sentence about a config that was refused, with its first mistake. */
export function refusalText([first = "", ...others]: readonly string[]): string {
  const more = others.length === 0 ? "" : ` (and ${plural(others.length, "more mistake")})`;
  return `the changed config was refused, and the previous one stays in force: ${first}${more}`;
}

export const REFUSAL_HINT =
  "pg321 check shows every mistake; correct them, then systemctl reload pg321 (a new credential or another catalog needs systemctl restart pg321)";

async function readVerdict(file: string): Promise<ReloadVerdict | undefined> {
  try {
    return JSON.parse(await readFile(file, "utf8"));
  } catch {
    return undefined;
  }
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

/** Records that the daemon has started; returns a function that records each later verdict. */
export async function verdictTeller(
  env: Environment,
  log: Log,
): Promise<(errors: readonly string[]) => Promise<void>> {
  const file = verdictFile(env);
  if (file === undefined) return async () => {};
  let count = 0;
  const tell = (errors: readonly string[]) =>
    writeVerdict(file, { pid: process.pid, count: count++, errors: [...errors] }).catch((error: unknown) =>
      log.warning("the verdict on a reload could not be written", { file, error: messageOf(error) }),
    );
  await tell([]);
  return tell;
}
