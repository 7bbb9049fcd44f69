/**
 * `npm run demo [-- --scale N] [--stay]`: shows the life of a backup on a temporary PostgreSQL, with the real
 * executable: back up, list, verify, restore, compare, damage, repair, and the daemon. With `--proof` it shows the five
 * marks of 3-2-1-1-0 instead, with a bucket that locks objects. Leaves nothing behind.
 */
import { parseArgs } from "node:util";
import { sizeText, styleFor } from "../src/cli/output/output.ts";
import { build, EXECUTABLE } from "./build.ts";
import type { DaemonScene } from "./demo/daemon.ts";
import { stopDaemon } from "./demo/daemon.ts";
import { DemoError, Narrator } from "./demo/narrator.ts";
import { nextSteps } from "./demo/next-steps.ts";
import { tellProof } from "./demo/proof.ts";
import { Stage } from "./demo/stage.ts";
import { tellStory } from "./demo/story.ts";

const EXIT_CODES = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const;

const stop = new AbortController();
for (const name of Object.keys(EXIT_CODES) as (keyof typeof EXIT_CODES)[])
  process.on(name, () => stop.abort(name));

interface Options {
  /** The size of the sample database: 1 is about 300,000 rows. */
  scale: number;
  /** Whether the daemon keeps running until somebody ends the demo. */
  stay: boolean;
  /** Whether to show the five marks instead. */
  proof: boolean;
}

function optionsFromArguments(): Options {
  try {
    const { values } = parseArgs({
      options: {
        scale: { type: "string", default: "1" },
        stay: { type: "boolean", default: false },
        proof: { type: "boolean", default: false },
      },
    });
    const scale = Number(values.scale);
    const { stay, proof } = values;
    if (scale > 0 && scale <= 100 && !(stay && proof)) return { scale, stay, proof };
  } catch {
    // The error below covers this, too.
  }
  throw new DemoError(
    "invalid arguments: expected --scale N (above 0, up to 100), --stay or --proof, or none",
  );
}

async function demo(narrator: Narrator): Promise<void> {
  const { scale, stay, proof } = optionsFromArguments();
  const { bold, dim, good } = narrator.style;
  await narrator.say(
    bold("pg321: PostgreSQL backups the 3-2-1-1-0 way, proved by restoring them"),
    dim(
      "This demo uses its own PostgreSQL in a temporary directory. It touches nothing else on this machine.",
    ),
  );
  const startedAtMs = performance.now();
  await build(EXECUTABLE);
  await narrator.say("", `compiled dist/pg321 (${sizeText(Bun.file(EXECUTABLE).size)})`);
  {
    await using stage = await Stage.open({ narrator, executable: EXECUTABLE, signal: stop.signal });
    if (proof) await tellProof(stage, narrator, { scale, signal: stop.signal });
    else {
      const scene = await tellStory(stage, narrator, { scale, stay, signal: stop.signal });
      if (stay) await stayUntilEnded(narrator, scene);
      await stopDaemon(narrator, scene);
    }
  }
  const seconds = ((performance.now() - startedAtMs) / 1000).toFixed(0);
  await narrator.say("", good(`Everything worked, in ${seconds} s; all files are removed again.`), "");
  await narrator.say(...nextSteps(narrator.style));
}

/** Waits for the signal that ends the demo; then rejects. */
async function stayUntilEnded(narrator: Narrator, { address }: DaemonScene): Promise<void> {
  await narrator.say(
    "",
    `The daemon keeps running; its page is at ${narrator.style.bold(`${address}/`)}`,
    "Ctrl-C ends the demo and removes everything.",
  );
  const ended = Promise.withResolvers<void>();
  stop.signal.addEventListener("abort", () => ended.reject(stop.signal.reason));
  stop.signal.throwIfAborted();
  await ended.promise;
}

try {
  await demo(new Narrator(styleFor(process.stdout.isTTY === true, process.env)));
} catch (error) {
  // The error may be caused by a signal that ended a child process; the same signal may reach this process only now.
  await new Promise((resolve) => setImmediate(resolve));
  if (stop.signal.aborted) {
    const name = stop.signal.reason as keyof typeof EXIT_CODES;
    process.stderr.write(`\ndemo: ended by ${name}; all files are removed again\n`);
    process.exitCode = EXIT_CODES[name];
  } else {
    process.stderr.write(
      error instanceof DemoError ? `error: ${error.message}\n` : `${Bun.inspect(error)}\n`,
    );
    process.exitCode = 1;
  }
}
