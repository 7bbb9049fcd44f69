import { deadline, deadlineAfter } from "../../base/abort.ts";
import { messageOf, outsideText, Pg321Error } from "../../base/errors.ts";
import { Secret } from "../../base/secret.ts";
import { visibleLines } from "../../base/text/visible.ts";
import type { BackupRecord } from "../../catalog/records.ts";
import type { ServerConfig } from "../../config/config.ts";
import type { HookConfig, HookKind } from "../../config/database/hooks.ts";
import { hooksFor } from "../../config/database/settings.ts";
import { connectWithin } from "../../postgres/bounded-connection.ts";
import { endpointOf } from "../../postgres/connection.ts";
import { COMMAND_ENVIRONMENT } from "../../stream/command-environment.ts";
import { GroupEnded, runGroup } from "../../stream/process-group.ts";
import type { JobContext } from "../context.ts";
import type { HookRun, HookRuns } from "./hook-runs.ts";

/** The end of a hook's output that is kept. */
const OUTPUT_CHARACTERS_MAX = 4_096;
/** For the hooks after a backup that was stopped: the daemon and systemd wait longer than this before they kill. */
const STOPPING_MS_MAX = 10_000;
/** Shorter secrets would hide ordinary words. */
const SECRET_CHARACTERS_MIN = 4;

/** Columns of SQL and of programs stay apart. */
const TAB = "    ";

/** The hooks around the backup of one database, and their record. */
export class BackupHooks {
  readonly #context: JobContext;
  readonly #server: ServerConfig;
  readonly #backup: BackupRecord;
  readonly #hooks: Readonly<Record<HookKind, readonly HookConfig[]>>;
  readonly #runs: HookRuns = { pre_backup: [], post_backup: [], on_failure: [] };

  constructor(context: JobContext, server: ServerConfig, backup: BackupRecord) {
    this.#context = context;
    this.#server = server;
    this.#backup = backup;
    const none = { pre_backup: [], post_backup: [], on_failure: [] };
    this.#hooks = backup.kind === "dump" ? hooksFor(context.config, server, backup.database) : none;
  }

  /** What went wrong with hooks of a backup that is good. */
  get warnings(): string[] {
    const all = [...this.#runs.pre_backup, ...this.#runs.post_backup];
    return all.flatMap(({ summary }) => summary ?? []);
  }

  /** Throws code `database` if a hook fails whose `on_error` is "stop": then the database is not dumped. */
  async before(signal: AbortSignal): Promise<void> {
    for (const hook of this.#hooks.pre_backup) {
      const { summary } = await this.#run("pre_backup", hook, "", signal);
      await this.#record();
      signal.throwIfAborted();
      if (summary !== null && hook.on_error === "stop")
        throw new Pg321Error("database", summary, {
          hint: `correct the hook, or set its on_error = "continue"; its output: pg321 show ${this.#backup.id.slice(0, 8)}`,
        });
    }
  }

  /**
   * Never throws: the backup is made. Once the signal has aborted, also before the first hook, all of them together have a
   * short time: they may have to undo what `pre_backup` did.
   */
  async after(status: string, signal: AbortSignal): Promise<void> {
    await this.#all("post_backup", status, signal);
  }

  /** Never throws. Runs also when the backup was stopped: then the time is short. */
  async failed(): Promise<void> {
    const { signal } = this.#context;
    await this.#all("on_failure", signal.aborted ? "INTERRUPTED" : "FAILED", signal);
  }

  async #all(kind: HookKind, outcome: string, stop: AbortSignal): Promise<void> {
    const { clock } = this.#context;
    const late = () => new Error(`the backup was stopped, and hooks then have ${STOPPING_MS_MAX / 1000} s`);
    using time = deadlineAfter(stop, { clock, durationMs: STOPPING_MS_MAX }, late);
    for (const hook of this.#hooks[kind]) await this.#run(kind, hook, outcome, time.signal);
    if (this.#hooks[kind].length > 0) await this.#record();
  }

  /** Never throws. */
  async #run(kind: HookKind, hook: HookConfig, outcome: string, signal: AbortSignal): Promise<HookRun> {
    const { clock, log } = this.#context;
    const { server, database, id } = this.#backup;
    const label = `hook ${kind} "${hook.name}"`;
    const startedAtMs = clock.monotonicMs();
    const late = () => new Error(`it took longer than ${hook.timeout_ms / 1000} s`);
    using time = deadline({ clock, durationMs: hook.timeout_ms, signal }, late);
    let [output, exit_code]: [string, number | null] = ["", null];
    let problem: Problem | undefined;
    try {
      if (hook.sql !== undefined) output = await this.#runSql(hook.sql, hook.timeout_ms, time.signal);
      else {
        const env = this.#environment(kind, outcome);
        const ended = await runGroup({ argv: hook.command ?? [], env, clock, signal: time.signal });
        ({ output, exitCode: exit_code } = ended);
        if (exit_code !== 0) problem = problemOf(new Error(endText(ended)));
      }
    } catch (error) {
      if (error instanceof GroupEnded) output = error.output;
      problem = problemOf(time.signal.aborted ? time.signal.reason : error);
    }
    const said = lastLine(this.#scrubbed(output));
    const textOf = (why: string) => `${label} failed: ${this.#scrubbed(why)}`;
    const run: HookRun = {
      name: hook.name,
      outcome: problem === undefined ? "OK" : "FAILED",
      exit_code,
      duration_ms: Math.round(clock.monotonicMs() - startedAtMs),
      output: this.#scrubbed(output).slice(-OUTPUT_CHARACTERS_MAX),
      error: problem === undefined ? null : `${textOf(problem.full)}${said === "" ? "" : `: ${said}`}`,
      summary: problem === undefined ? null : textOf(problem.outside),
    };
    this.#runs[kind].push(run);
    const about = { server, database, backup_id: id, duration_ms: run.duration_ms };
    if (run.summary === null) log.info("a hook has ended", { ...about, hook: `${kind} ${hook.name}` });
    else log.warning("a hook failed", { ...about, error: run.summary });
    return run;
  }

  async #runSql(sql: string, timeoutMs: number, signal: AbortSignal): Promise<string> {
    const connection = await connectWithin(endpointOf(this.#server, this.#backup.database), {
      signal,
      timeoutMs,
    });
    try {
      const answer = await connection.run("run the hook's SQL", async (run) => {
        await run.unsafe(`set search_path = "$user", public`).simple();
        return await run.unsafe(sql).simple();
      });
      const results = (Array.isArray(answer[0]) ? answer : [answer]) as unknown as Record<
        string,
        unknown
      >[][];
      return results
        .flatMap((rows) => rows.map((row) => Object.values(row).map(String).join("\t")))
        .join("\n");
    } finally {
      await connection[Symbol.asyncDispose]();
    }
  }

  /** Nothing of this process's own environment, which may have secrets. */
  #environment(kind: HookKind, outcome: string): Record<string, string> {
    const { server, database, id, run_id } = this.#backup;
    return {
      ...COMMAND_ENVIRONMENT,
      PG321_HOOK: kind,
      PG321_SERVER: server,
      PG321_DATABASE: database,
      PG321_BACKUP_ID: id,
      PG321_RUN_ID: run_id,
      PG321_SCHEDULE: this.#context.schedule?.name ?? "",
      PG321_OUTCOME: outcome,
    };
  }

  #scrubbed(text: string): string {
    const secrets = secretsIn(this.#context.config).filter(({ length }) => length >= SECRET_CHARACTERS_MIN);
    const rest = secrets.reduce((left, secret) => left.replaceAll(secret, "[secret]"), text);
    return visibleLines(rest.replaceAll("\t", TAB));
  }

  /** A catalog that cannot be written must not fail the backup. */
  async #record(): Promise<void> {
    const { catalog, log } = this.#context;
    try {
      await catalog.updateBackup(this.#backup.id, { hooks: JSON.stringify(this.#runs) });
    } catch (error) {
      log.warning("the output of a hook could not be recorded", { error: messageOf(error) });
    }
  }
}

/** Why a hook failed: for its record, and without values of rows for what leaves this host. */
interface Problem {
  full: string;
  outside: string;
}

function problemOf(error: unknown): Problem {
  return { full: messageOf(error), outside: outsideText(error) };
}

function endText({ exitCode, signalName }: { exitCode: number | null; signalName: string | null }): string {
  if (exitCode === 127) return "exit code 127: the command was not found";
  return signalName === null ? `exit code ${exitCode}` : `killed by ${signalName}`;
}

function lastLine(output: string): string {
  return output.trim().split("\n").at(-1)?.slice(-200) ?? "";
}

/** The longest first: one may be part of another. */
function secretsIn(value: unknown): string[] {
  const found = new Set<string>();
  const look = (node: unknown): void => {
    if (node instanceof Secret) found.add(node.reveal());
    else if (typeof node === "object" && node !== null) for (const one of Object.values(node)) look(one);
  };
  look(value);
  return [...found].sort((a, b) => b.length - a.length);
}
