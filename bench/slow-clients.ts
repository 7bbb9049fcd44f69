/**
 * How the endpoint answers while slow clients of several kinds hold what they can, compared with itself without them and
 * with a plain `Bun.serve` of the same answers in the same run.
 */
import { readdirSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { EXECUTABLE } from "../scripts/build.ts";
import { freePort } from "../test/lab/servers/free-port.ts";
import { makeCatalog } from "./large-catalog.ts";
import { residentMib } from "./measure.ts";

export interface SlowFigures {
  answers: number;
  /** 503 for lack of a place. */
  refused: number;
  /** No answer, or none within `LATE_MS`. */
  failed: number;
  p50_ms: number;
  p99_ms: number;
}

const PATHS = ["/health", "/metrics"];
/** What the slow clients ask for: with enough databases more than the kernel buffers for a client. */
const LARGE = "/status?format=json";
const LATE_MS = 15_000;
const PAUSE_MS = 20;
const ROUNDS = 100;
/** The slow clients have taken everything by then. */
const SETTLE_MS = 3_000;

interface Server {
  name: string;
  port: number;
  pid: number;
}

/** A server in a process of its own that gives the answers of the daemon without any limit. */
async function peer(port: number): Promise<Server & AsyncDisposable> {
  const answers = await Promise.all(
    [...PATHS, LARGE].map(async (path) => [
      path,
      await (await fetch(`http://127.0.0.1:${port}${path}`)).text(),
    ]),
  );
  const code = `const answers = new Map(await Bun.stdin.json());
    const server = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: ({ url }) => new Response(answers.get(url.slice(new URL(url).origin.length))) });
    console.log(server.port);`;
  const child = Bun.spawn([process.execPath, "-e", code], {
    stdin: new Blob([JSON.stringify(answers)]),
    stdout: "pipe",
    stderr: "ignore",
  });
  return {
    name: "Bun.serve",
    port: Number(await firstLine(child.stdout)),
    pid: child.pid,
    async [Symbol.asyncDispose]() {
      child.kill();
      await child.exited;
    },
  };
}

/** A daemon of a catalog with some databases, which makes no backups. */
async function daemonOf(databases: number): Promise<Server & AsyncDisposable> {
  const directory = await mkdtemp(join(tmpdir(), "pg321-slow-"));
  const port = await freePort();
  const off = ["backup", "cleanup", "verify", "repair"].map((job) => `${job} = "off"`).join("\n");
  const more = `[http]\nlisten = "127.0.0.1:${port}"\n[schedule]\n${off}\n`;
  await makeCatalog(directory, { backups: databases * 3, databases, days: 500, more });
  const child = Bun.spawn([EXECUTABLE, "run", "--log-level", "error"], {
    env: { PATH: process.env["PATH"] ?? "", HOME: "/", PG321_CONFIG: join(directory, "config.toml") },
    stdio: ["ignore", "ignore", "ignore"],
  });
  const ready = () => fetch(`http://127.0.0.1:${port}/ready`).catch(() => undefined);
  while (!(await ready())?.ok) await Bun.sleep(PAUSE_MS);
  return {
    name: "pg321",
    port,
    pid: child.pid,
    async [Symbol.asyncDispose]() {
      child.kill();
      await child.exited;
      await rm(directory, { recursive: true });
    },
  };
}

/** Prints and returns the figures of the daemon and of the peer, by path and number of clients. */
export async function slowClients(clients: number, databases: number) {
  await using daemon = await daemonOf(databases);
  await using other = await peer(daemon.port);
  const results: Record<string, Record<string, SlowFigures>> = {};
  for (const server of [daemon, other]) {
    results[`${server.name}, quiet`] = await measure(server);
    const herd = Bun.spawn(
      [process.execPath, join(import.meta.dir, "slow-herd.ts"), String(server.port), String(clients), LARGE],
      { stdio: ["ignore", "pipe", "inherit"] },
    );
    await firstLine(herd.stdout);
    await Bun.sleep(SETTLE_MS);
    results[`${server.name}, ${clients} slow clients`] = await measure(server);
    const files = readdirSync(`/proc/${server.pid}/fd`).length;
    console.log(
      `${server.name}: ${files} open files and ${residentMib(server.pid).toFixed(0)} MiB with ${clients} slow clients`,
    );
    herd.kill();
    await herd.exited;
  }
  report(results, clients);
  return results;
}

async function firstLine(stream: ReadableStream<Uint8Array>): Promise<string> {
  const reader = stream.getReader();
  const { value } = await reader.read();
  return new TextDecoder().decode(value).trim();
}

async function measure({ port }: Server): Promise<Record<string, SlowFigures>> {
  const figures = Object.fromEntries(
    PATHS.map((path) => [path, { times: [] as number[], refused: 0, failed: 0 }]),
  );
  for (let round = 0; round < ROUNDS; round++) {
    for (const [path, figure] of Object.entries(figures)) {
      const startedAtMs = performance.now();
      // Another connection for each request, as a probe makes it.
      const status = await fetch(`http://127.0.0.1:${port}${path}`, {
        headers: { connection: "close" },
        signal: AbortSignal.timeout(LATE_MS),
      }).then(
        (answer) => answer.arrayBuffer().then(() => answer.status),
        () => undefined,
      );
      if (status === 200) figure.times.push(performance.now() - startedAtMs);
      else if (status === 503) figure.refused++;
      else figure.failed++;
      await Bun.sleep(PAUSE_MS);
    }
  }
  return Object.fromEntries(
    Object.entries(figures).map(([path, { times, refused, failed }]) => {
      const sorted = times.toSorted((left, right) => left - right);
      const at = (share: number) =>
        sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0;
      return [path, { answers: times.length, refused, failed, p50_ms: at(0.5), p99_ms: at(0.99) }];
    }),
  );
}

function report(results: Record<string, Record<string, SlowFigures>>, clients: number): void {
  for (const [when, figures] of Object.entries(results))
    for (const [path, { answers, refused, failed, p50_ms, p99_ms }] of Object.entries(figures))
      console.log(
        `${when.padEnd(28)} ${path.padEnd(9)} ${answers} answers, ${refused} refused, ${failed} failed; p50 ${p50_ms.toFixed(2)} ms, p99 ${p99_ms.toFixed(2)} ms`,
      );
  for (const name of ["pg321", "Bun.serve"])
    for (const path of PATHS) {
      const [quiet, loaded] = [
        results[`${name}, quiet`]?.[path],
        results[`${name}, ${clients} slow clients`]?.[path],
      ];
      if (quiet && loaded)
        console.log(
          `${name} ${path}: with slow clients p50 ${(loaded.p50_ms / quiet.p50_ms).toFixed(2)} times, p99 ${(loaded.p99_ms / quiet.p99_ms).toFixed(2)} times that of before`,
        );
    }
}
