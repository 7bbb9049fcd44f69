import { mkdir, mkdtemp, rmdir, writeFile } from "node:fs/promises";
import { tmpdir, userInfo } from "node:os";
import { dirname, join } from "node:path";

const SCRIPT = join(import.meta.dir, "systemd-box.sh");
const NAMESPACES = ["-m", "-p", "-u", "-i", "-C", "--fork", "--propagation", "private"];
const PROGRAMS = ["unshare", "nsenter", "ip", "setpriv", "systemd-analyze", "pgrep", "findmnt"];
const WAIT_MS = 45_000;

/** Why no systemd can be started here; undefined if it can. */
export const noBoxReason: string | undefined = findReason();

function findReason(): string | undefined {
  if (userInfo().uid !== 0) return "a systemd of its own needs root";
  const missing = PROGRAMS.filter((program) => Bun.which(program) === null);
  if (missing.length > 0)
    return `${missing.join(", ")} not found: apt-get install systemd util-linux procps iproute2`;
  const tried = Bun.spawnSync(["unshare", ...NAMESPACES, "mount", "-t", "tmpfs", "x", "/mnt"]);
  return tried.success ? undefined : `no namespaces here: ${tried.stderr.toString().trim()}`;
}

export interface BoxEnded {
  exitCode: number;
  stdout: string;
  stderr: string;
}

/**
 * A real systemd as process 1 of its own namespaces, over an overlay of this machine's root: files written in it
 * disappear with it. It ends with this process, however this process ends.
 */
export class SystemdBox implements AsyncDisposable {
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
  }

  /** `hasOwnNetwork`: only a loopback of its own, so that fixed ports are free. */
  static async start({ hasOwnNetwork = false } = {}): Promise<SystemdBox> {
    const directory = await mkdtemp(join(tmpdir(), "pg321-box-"));
    // It is not a child of this process (--fork), because `bun test` kills the children of a test that timed out.
    const command = ["setsid", "--fork", "bash", SCRIPT, "run", directory, String(process.pid)];
    const env = { ...process.env, ...(hasOwnNetwork && { BOX_NETWORK: "own" }) };
    const script = Bun.spawn(command, { env, stdio: ["ignore", "pipe", "inherit"] });
    const { done } = await script.stdout.getReader().read();
    if (done) throw new Error("the systemd of the test did not start");
    return new SystemdBox(directory);
  }

  /** The path of a file of the box for this process. Not for /run, /tmp, /dev and /proc, which only the box has. */
  path(inside: string): string {
    return join(this.#directory, "root", inside);
  }

  /** The root as a process of the box sees it, including /run and /tmp: for sockets and files there. */
  async rootAsInside(): Promise<string> {
    const leader = await Bun.file(join(this.#directory, "state/leader")).text();
    return `/proc/${leader.trim()}/root`;
  }

  /** The words that run a command in the box, as root. */
  words(...argv: string[]): string[] {
    return ["bash", SCRIPT, "exec", this.#directory, ...argv];
  }

  /** Runs a command in the box, as root, to its end. */
  async run(...argv: string[]): Promise<BoxEnded> {
    const child = Bun.spawn(this.words(...argv), {
      stdio: ["ignore", "pipe", "pipe"],
    });
    const [stdout, stderr, exitCode] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
      child.exited,
    ]);
    return { exitCode, stdout, stderr };
  }

  /** The output of a command that must succeed; throws with everything that it printed otherwise. */
  async ok(...argv: string[]): Promise<string> {
    const { exitCode, stdout, stderr } = await this.run(...argv);
    if (exitCode === 0) return stdout;
    throw new Error(`${argv.join(" ")}: exit ${exitCode}\n${stdout}${stderr}`);
  }

  /** The output of a shell command line that must succeed. */
  sh(line: string): Promise<string> {
    return this.ok("bash", "-o", "pipefail", "-ec", line);
  }

  async write(inside: string, text: string | Uint8Array, mode = 0o644): Promise<void> {
    await mkdir(dirname(this.path(inside)), { recursive: true });
    await writeFile(this.path(inside), text, { mode });
  }

  /** Waits until a condition is true; if that never happens, the error has the last value and the journal. */
  async until<T>(what: string, look: () => Promise<T | undefined | false>): Promise<T> {
    const deadline = performance.now() + WAIT_MS;
    for (;;) {
      const found = await look();
      if (found !== undefined && found !== false) return found;
      if (performance.now() > deadline) throw new Error(`it never came: ${what}\n${await this.journal()}`);
      await Bun.sleep(20);
    }
  }

  /** The journal of the service, for a failure's message. */
  async journal(): Promise<string> {
    const { stdout } = await this.run("journalctl", "--unit=pg321", "--no-hostname", "--lines=60");
    return stdout;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const stop = Bun.spawn(["bash", SCRIPT, "stop", this.#directory], {
      stdio: ["ignore", "ignore", "inherit"],
    });
    await stop.exited;
    // Only if it is empty: what is still mounted there belongs to this machine. The watching script may do it first.
    await rmdir(this.#directory).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== "ENOENT") throw error;
    });
  }
}
