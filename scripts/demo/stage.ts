import { closeSync, openSync } from "node:fs";
import { appendFile, chmod, mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { type LabPostgres, startPostgres } from "../../test/lab/servers/postgres.ts";
import type { Narrator } from "./narrator.ts";
import { DemoError } from "./narrator.ts";

/** The result of a command of the demo. */
export interface Ended {
  exitCode: number;
  duration_ms: number;
}

/** A command that runs in the background. */
export interface Running {
  /** Ends the command; resolves with its exit code. */
  end(): Promise<number>;
  isRunning(): boolean;
}

/**
 * The directory with everything that the demo creates, its PostgreSQL included, in which its commands run. Disposing
 * of it stops and removes everything.
 */
export class Stage implements AsyncDisposable {
  readonly directory: string;
  readonly postgres: LabPostgres;
  readonly #narrator: Narrator;
  readonly #env: Record<string, string>;
  readonly #signal: AbortSignal;
  readonly #running: Running[] = [];

  private constructor(
    directory: string,
    postgres: LabPostgres,
    { narrator, executable, signal }: StageOptions,
  ) {
    this.directory = directory;
    this.postgres = postgres;
    this.#narrator = narrator;
    this.#signal = signal;
    this.#env = commandEnvironment(directory, executable);
  }

  static async open(options: StageOptions): Promise<Stage> {
    options.signal.throwIfAborted();
    const directory = await mkdtemp(join(tmpdir(), "pg321-demo-"));
    try {
      // If we are root, PostgreSQL runs as another user, who must be able to reach its directory.
      await chmod(directory, 0o711);
      // `startPostgres` reads it, so that its directory is inside this one.
      process.env["TMPDIR"] = directory;
      return new Stage(directory, await startPostgres(), options);
    } catch (error) {
      await rm(directory, { recursive: true, force: true });
      throw error;
    }
  }

  path(name: string): string {
    return join(this.directory, name);
  }

  /** Writes a file that only this user can read. */
  async write(name: string, text: string): Promise<void> {
    await mkdir(dirname(this.path(name)), { recursive: true, mode: 0o700 });
    await writeFile(this.path(name), text, { mode: 0o600 });
  }

  async append(name: string, text: string): Promise<void> {
    await appendFile(this.path(name), text);
  }

  /** The sealed dumps below a storage's directory, relative to the demo's; not the globals. */
  async sealedDumps(storage: string): Promise<string[]> {
    const entries = await readdir(this.path(storage), { recursive: true });
    return entries.filter((name) => /\.dump\.[^/]*\.enc$/.test(name)).map((name) => join(storage, name));
  }

  /** Prints a command line and runs exactly that, with its output on the terminal. Throws unless it ends with `expected`. */
  async show(commandLine: string, expected = 0): Promise<Ended> {
    await this.#narrator.command(commandLine);
    return this.#run(commandLine, "inherit", expected);
  }

  /** Runs a command line without printing it. Resolves with its stdout, parsed as JSON. */
  // biome-ignore lint/suspicious/noExplicitAny: the demo takes a few fields of documented JSON.
  async json(commandLine: string): Promise<any> {
    const output = this.path("output.json");
    // A shorter output would leave the end of a longer one.
    await rm(output, { force: true });
    await this.#run(commandLine, Bun.file(output), 0);
    return Bun.file(output).json();
  }

  /** Starts a command line in the background, with its stderr in `log`. It ends with the stage at the latest. */
  async start(commandLine: string, log: string): Promise<Running> {
    await this.#narrator.command(`${commandLine} 2>${log} &`);
    const file = openSync(this.path(log), "a", 0o600);
    const child = Bun.spawn(["bash", "-c", `exec ${commandLine}`], {
      cwd: this.directory,
      env: this.#env,
      stdio: ["ignore", "ignore", file],
    });
    closeSync(file);
    const running: Running = {
      end: async () => {
        child.kill("SIGTERM");
        return child.exited;
      },
      isRunning: () => child.exitCode === null && child.signalCode === null,
    };
    this.#running.push(running);
    return running;
  }

  async #run(commandLine: string, stdout: "inherit" | Bun.BunFile, expected: number): Promise<Ended> {
    const startedAtMs = performance.now();
    const child = Bun.spawn(["bash", "-o", "pipefail", "-c", commandLine], {
      cwd: this.directory,
      env: this.#env,
      stdio: ["ignore", stdout, "inherit"],
    });
    // The terminal sends ^C to the child, too; after a second signal it would end without cleaning up.
    const forward = () => {
      if (this.#signal.reason !== "SIGINT") child.kill(this.#signal.reason);
    };
    this.#signal.addEventListener("abort", forward);
    const exitCode = await child.exited.finally(() => this.#signal.removeEventListener("abort", forward));
    this.#signal.throwIfAborted();
    if (exitCode !== expected)
      throw new DemoError(`"${commandLine}" ended with ${exitCode}, expected ${expected}`);
    return { exitCode, duration_ms: performance.now() - startedAtMs };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const running of this.#running) await running.end();
    await this.postgres[Symbol.asyncDispose]();
    await rm(this.directory, { recursive: true, force: true });
  }
}

interface StageOptions {
  narrator: Narrator;
  executable: string;
  /** Aborted with the name of the signal that ends the demo. */
  signal: AbortSignal;
}

/** An environment without the user's own settings for PostgreSQL or pg321. */
function commandEnvironment(directory: string, executable: string): Record<string, string> {
  const kept = ["TERM", "NO_COLOR", "LANG", "LC_ALL", "COLUMNS"].flatMap((name) => {
    const value = process.env[name];
    return value === undefined ? [] : [[name, value]];
  });
  return {
    ...Object.fromEntries(kept),
    PATH: [dirname(executable), process.env["PATH"]].join(delimiter),
    HOME: directory,
    TMPDIR: directory,
    PG321_CONFIG: join(directory, "config.toml"),
  };
}
