import { describe, expect, test } from "bun:test";
import { bytesOf, freeBuffers, streamOf } from "../../test/lab/data/streams.ts";
import {
  CAPACITY,
  childTime,
  ENV,
  firstBlock,
  isGone,
  openFds,
  printPid,
  read,
  sh,
  waitUntil,
} from "../../test/lab/machine/children.ts";
import { ManualClock } from "../../test/lab/manual-clock.ts";
import { systemClock } from "../base/clock.ts";
import { BufferPool } from "./buffer-pool.ts";
import { ChildError, feedChild, readChild, runChild } from "./process.ts";

describe("readChild", () => {
  test("passes on stdout in whole blocks and the end of stderr", async () => {
    const { blocks, text, exit, error } = await read(sh("seq 1 1000; echo done >&2"));
    expect(error).toBeUndefined();
    expect(text).toBe(`${Array.from({ length: 1000 }, (_, at) => at + 1).join("\n")}\n`);
    expect(blocks.slice(0, -1).every((block) => block.length === 1024)).toBe(true);
    expect(exit).toEqual(expect.objectContaining({ stderrTail: "done" }));
  });

  test.each([0, 1, 1023, 1024, 1025, 2048])("a stream of %d bytes", async (bytes) => {
    const { blocks, text, error } = await read(sh(`head -c ${bytes} /dev/zero`));
    expect(error).toBeUndefined();
    expect(text.length).toBe(bytes);
    expect(blocks.length).toBe(Math.ceil(bytes / 1024));
  });

  test("a failing exit code is thrown after the last byte, with the end of stderr", async () => {
    const { text, exit, error } = await read(sh("echo partial; echo why >&2; exit 3"));
    expect(text).toBe("partial\n");
    expect(exit).toBeUndefined();
    expect(error).toBeInstanceOf(ChildError);
    expect(error).toMatchObject({
      message: "sh ended with exit code 3",
      exitCode: 3,
      signalName: null,
      stderrTail: "why",
    });
  });

  test("a failure is thrown even without onExit", async () => {
    await expect(bytesOf(readChild(sh("echo partial; exit 3")))).rejects.toMatchObject({ exitCode: 3 });
  });

  test("death by a signal is thrown too, even if stdout ended cleanly", async () => {
    const { error } = await read(sh("head -c 1024 /dev/zero; kill -KILL $$"));
    expect(error).toMatchObject({
      exitCode: null,
      signalName: "SIGKILL",
      message: "sh was killed by SIGKILL",
    });
  });

  test("a program that does not exist or cannot be run", async () => {
    for (const program of ["no-such-program", "/etc/passwd"]) {
      const { error } = await read({ argv: [program], env: ENV });
      expect(error).toBeInstanceOf(ChildError);
      expect(error.message).toContain("could not be started");
      expect(error.exitCode).toBeNull();
    }
  });

  test("nice and ionice come before the program, which keeps its name in errors", async () => {
    const niced = await read(sh("nice; ionice", { nice: 7, ioClass: "idle" }));
    expect(niced.text).toBe("7\nidle\n");
    const { error } = await read(sh("exit 4", { nice: 7, ioClass: "best-effort" }));
    expect(error.message).toBe("sh ended with exit code 4");
  });

  test("the environment is the child's whole environment", async () => {
    const { text } = await read({ argv: ["env"], env: { ONLY: "this" } });
    expect(text).toBe("ONLY=this\n");
  });

  test("an abort before the start starts nothing", async () => {
    const reason = new Error("too late");
    // If it were tried it could not be started.
    const options = { argv: ["no-such-program"], env: ENV, signal: AbortSignal.abort(reason) };
    expect((await read(options)).error as Error).toBe(reason);
    await expect(feedChild(options, streamOf())).rejects.toBe(reason);
  });

  test("an abort while it waits for bytes throws the reason and ends the child", async () => {
    const abort = new AbortController();
    const pool = new BufferPool(8, CAPACITY);
    const source = readChild(sh(`${printPid} exec sleep 1000`, { signal: abort.signal }), pool);
    const { pid, block } = await firstBlock(source);
    const next = source.next();
    abort.abort(new Error("interrupted"));
    await expect(next).rejects.toThrow("interrupted");
    expect(isGone(pid)).toBe(true);
    pool.release(block);
    expect(await freeBuffers(pool, CAPACITY + 1)).toBe(CAPACITY);
  });

  test("an abort while it waits for a free block", async () => {
    const abort = new AbortController();
    const pool = new BufferPool(8, 1);
    const source = readChild(sh(`${printPid} exec cat /dev/zero`, { signal: abort.signal }), pool);
    const { pid, block } = await firstBlock(source);
    const next = source.next();
    abort.abort(new Error("interrupted"));
    await expect(next).rejects.toThrow("interrupted");
    expect(isGone(pid)).toBe(true);
    pool.release(block);
    expect(await freeBuffers(pool, 2)).toBe(1);
  });

  test("an abort after the end changes nothing", async () => {
    const abort = new AbortController();
    const { error } = await read(sh("echo", { signal: abort.signal }));
    abort.abort();
    expect(error).toBeUndefined();
  });

  test("a reader that leaves early ends the child", async () => {
    const pool = new BufferPool(8, CAPACITY);
    let pid = 0;
    for await (const block of readChild(sh(`${printPid} exec cat /dev/zero`), pool)) {
      pid = Number(Buffer.from(block).toString());
      pool.release(block);
      break;
    }
    expect(isGone(pid)).toBe(true);
    expect(await freeBuffers(pool, CAPACITY + 1)).toBe(CAPACITY);
  });

  test("a child that ignores SIGTERM is killed after the grace time", async () => {
    // Time stands still until the child has shown that it ignores SIGTERM.
    const grace = new ManualClock();
    const clock = {
      ...systemClock,
      sleep: (delayMs: number, signal?: AbortSignal) =>
        (delayMs < 1000 ? systemClock : grace).sleep(delayMs, signal),
    };
    const pool = new BufferPool(8, CAPACITY);
    const script = `trap '' TERM; ${printPid} while :; do sleep 0.01; done`;
    const source = readChild(sh(script, { clock }), pool);
    const { pid } = await firstBlock(source);
    const leaving = source.return();
    await waitUntil(() => grace.sleeping === 1);
    await grace.advance(4_999);
    expect(isGone(pid)).toBe(false);
    await grace.advance(1);
    await leaving;
    expect(isGone(pid)).toBe(true);
  });

  test("no byte for the stall timeout ends the child; bytes in time do not", async () => {
    const clock = new ManualClock();
    const quick = read(sh("for i in 1 2 3 4 5; do echo $i; done", { clock, stallTimeoutMs: 1_000 }));
    expect((await clock.advanceUntil(quick, 1, childTime)).error).toBeUndefined();

    const options = sh(`echo last words >&2; exec sleep 1000`, { clock, stallTimeoutMs: 60_000 });
    const { error } = await clock.advanceUntil(read(options), 100, childTime);
    expect(error).toBeInstanceOf(ChildError);
    expect(error).toMatchObject({ message: "sh sent no byte for 60 s", stderrTail: "last words" });
  });

  test("another timeout may apply until a child's first byte", async () => {
    const clock = new ManualClock();
    const timeouts = { clock, stallTimeoutMs: 60_000, firstByteTimeoutMs: 300_000 };
    const failure = async (script: string, options: object) =>
      (await clock.advanceUntil(read(sh(script, options)), 1_000, childTime)).error.message;
    expect(await failure("exec sleep 1000", timeouts)).toBe("sh sent no byte for 300 s");
    expect(await failure("echo one; exec sleep 1000", timeouts)).toBe("sh sent no byte for 60 s");
    const unbounded = { ...timeouts, firstByteTimeoutMs: 0 };
    expect(await failure("echo one; exec sleep 1000", unbounded)).toBe("sh sent no byte for 60 s");
  });

  test("the reader's own time does not count as a stall of the child", async () => {
    const clock = new ManualClock();
    const pool = new BufferPool(8, CAPACITY);
    const source = readChild(sh(`${printPid} printf 12345678`, { clock, stallTimeoutMs: 1_000 }), pool);
    await clock.advanceUntil(source.next(), 100, childTime);
    await clock.advance(100_000);
    expect(
      Buffer.from((await clock.advanceUntil(source.next(), 100, childTime)).value as Uint8Array).toString(),
    ).toBe("12345678");
    expect((await clock.advanceUntil(source.next(), 100, childTime)).done).toBe(true);
  });

  test("a child that closes stdout and continues has not succeeded: it stalls", async () => {
    const clock = new ManualClock();
    const options = sh("echo all; exec >&-; exec sleep 1000", { clock, stallTimeoutMs: 60_000 });
    const { text, error } = await clock.advanceUntil(read(options), 100, childTime);
    expect(text).toBe("all\n");
    expect(error.message).toBe("sh sent no byte for 60 s");
  });

  test("a child that closes stdout and fails later has failed", async () => {
    const { error } = await read(sh("echo all; exec >&-; sleep 0.1; exit 9"));
    expect(error).toMatchObject({ exitCode: 9 });
  });

  test("processes that a child leaves running delay neither its success nor its failure", async () => {
    for (const code of [0, 5]) {
      const before = openFds();
      const { text, error } = await read(sh(`sleep 30 >/dev/null & echo $!; exit ${code}`));
      await waitUntil(() => openFds() <= before);
      process.kill(Number(text));
      expect(error?.exitCode ?? 0).toBe(code);
    }
  });

  test("the end of stderr is cut between characters", async () => {
    const { error } = await read(
      sh(`i=0; while [ $i -lt 3000 ]; do printf 'äö'; i=$((i+1)); done >&2; exit 1`),
    );
    expect(error.stderrTail).toMatch(/^[äö]+$/);
    expect(Buffer.byteLength(error.stderrTail)).toBeGreaterThan(4090);
    const odd = await read(
      sh(`i=0; while [ $i -lt 3000 ]; do printf 'äö'; i=$((i+1)); done >&2; printf x >&2; exit 1`),
    );
    expect(odd.error.stderrTail).toMatch(/^[äö]+x$/);
  });
});

test("runChild provides an empty stdin and returns the output", async () => {
  expect(await runChild(sh("wc -c; echo note >&2"))).toEqual({ stdout: "0\n", stderrTail: "note" });
  await expect(runChild(sh("exit 2"))).rejects.toBeInstanceOf(ChildError);
  await expect(runChild({ argv: ["no-such-program"], env: ENV })).rejects.toThrow(
    "no-such-program could not be started",
  );
});

test("no file descriptor is left open, however the child ends", async () => {
  const ends = [
    () => read(sh("echo")),
    () => read(sh("exit 1")),
    () => read({ argv: ["no-such-program"], env: ENV }),
    async () => {
      for await (const _ of readChild(sh("cat /dev/zero"), new BufferPool(64, 2))) break;
    },
    () => runChild(sh("echo")),
    () => runChild({ argv: ["no-such-program"], env: ENV }).catch(() => {}),
    () => feedChild(sh("exit 0"), streamOf(new Uint8Array(2 ** 21))),
    () =>
      feedChild(
        sh("cat"),
        (async function* () {
          yield new Uint8Array(10);
          throw new Error("source");
        })(),
      ).catch(() => {}),
  ];
  for (const end of ends) await end();
  const before = openFds();
  for (let run = 0; run < 25; run++) for (const end of ends) await end();
  // Some are closed a little later; if any of these ends left one open, there would be 25 more.
  expect(openFds()).toBeLessThan(before + 20);
});
