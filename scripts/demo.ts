/**
 * `npm run demo [-- --scale N] [--stay]`: the whole way of a backup on a throw-away PostgreSQL, with the real
 * executable: back up, list, verify, restore, compare, damage, repair, and the daemon. Leaves nothing behind.
 */
import { parseArgs } from "node:util";
import { sizeText, styleFor } from "../src/cli/output/output.ts";
import { build, EXECUTABLE } from "./build.ts";
import type { DaemonScene } from "./demo/daemon.ts";
import { stopDaemon } from "./demo/daemon.ts";
import { DemoError, Narrator } from "./demo/narrator.ts";
import { nextSteps } from "./demo/next-steps.ts";
import { Stage } from "./demo/stage.ts";
import { tellStory } from "./demo/story.ts";

const EXIT_CODES = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const;

const stop = new AbortController();
for (const name of Object.keys(EXIT_CODES) as (keyof typeof EXIT_CODES)[])
  process.on(name, () => stop.abort(name));

interface Options {
  /** Rows relative to the sample database's own: 1 is about 300,000. */
  scale: number;
  /** Whether the daemon goes on until somebody ends the demo. */
  stay: boolean;
}

function optionsFromArguments(): Options {
  try {
    const { values } = parseArgs({
      options: { scale: { type: "string", default: "1" }, stay: { type: "boolean", default: false } },
    });
    const scale = Number(values.scale);
    if (scale > 0 && scale <= 100) return { scale, stay: values.stay };
  } catch {
    // Told below, in one sentence.
  }
  throw new DemoError("expected --scale with a number above 0 and up to 100, --stay, or nothing");
}

async function demo(narrator: Narrator): Promise<void> {
  const { scale, stay } = optionsFromArguments();
  const { bold, dim, good } = narrator.style;
  await narrator.say(
    bold("pg321: PostgreSQL backups the 3-2-1-1-0 way, proved by restoring them"),
    dim(
      "A demo on a PostgreSQL of its own in a temporary directory. Nothing else on this machine is touched.",
    ),
  );
  const startedAtMs = performance.now();
  await build(EXECUTABLE);
  await narrator.say("", `compiled dist/pg321 (${sizeText(Bun.file(EXECUTABLE).size)})`);
  {
    await using stage = await Stage.open({ narrator, executable: EXECUTABLE, signal: stop.signal });
    const scene = await tellStory(stage, narrator, { scale, stay, signal: stop.signal });
    if (stay) await stayUntilEnded(narrator, scene);
    await stopDaemon(narrator, scene);
  }
  const seconds = ((performance.now() - startedAtMs) / 1000).toFixed(0);
  await narrator.say("", good(`All of it worked, in ${seconds} s; everything is removed again.`), "");
  await narrator.say(...nextSteps(narrator.style));
}

/** Returns only by the signal that ends the demo. */
async function stayUntilEnded(narrator: Narrator, { address }: DaemonScene): Promise<void> {
  await narrator.say(
    "",
    `The daemon goes on; its page is at ${narrator.style.bold(`${address}/`)}`,
    "Ctrl-C ends it and removes everything.",
  );
  const ended = Promise.withResolvers<void>();
  stop.signal.addEventListener("abort", () => ended.reject(stop.signal.reason));
  stop.signal.throwIfAborted();
  await ended.promise;
}

try {
  await demo(new Narrator(styleFor(process.stdout.isTTY === true, process.env)));
} catch (error) {
  // A signal that ended a child, and so caused the error, reaches us as well, perhaps only now.
  await new Promise((resolve) => setImmediate(resolve));
  if (stop.signal.aborted) {
    const name = stop.signal.reason as keyof typeof EXIT_CODES;
    process.stderr.write(`\ndemo: ended by ${name}; everything is removed again\n`);
    process.exitCode = EXIT_CODES[name];
  } else {
    process.stderr.write(
      error instanceof DemoError ? `error: ${error.message}\n` : `${Bun.inspect(error)}\n`,
    );
    process.exitCode = 1;
  }
}
