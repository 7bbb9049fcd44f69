import { describe, expect, test } from "bun:test";
import { streamOf } from "../../test/lab/data/streams.ts";
import { isGone, sh, waitUntil } from "../../test/lab/machine/children.ts";
import { type ChildError, feedChild } from "./process.ts";

describe("feedChild", () => {
  test("feeds stdin to its end and collects stdout", async () => {
    const { stdout, stderrTail } = await feedChild(
      sh("cat; echo done >&2"),
      streamOf(Buffer.from("one "), new Uint8Array(), Buffer.from("two")),
    );
    expect(stdout).toBe("one two");
    expect(stderrTail).toBe("done");
  });

  test("bytes arrive complete and in order, however many", async () => {
    const chunks = Array.from({ length: 40 }, (_, at) => Buffer.alloc(300_001, at));
    const hash = new Bun.CryptoHasher("sha256");
    for (const chunk of chunks) hash.update(chunk);
    const { stdout } = await feedChild(sh("sha256sum"), streamOf(...chunks));
    expect(stdout.split(" ")[0]).toBe(hash.digest("hex"));
  });

  test("stdout and stdin flow at the same time", async () => {
    const chunk = new Uint8Array(256 * 1024).fill(65);
    const { stdout } = await feedChild(sh("cat"), streamOf(...Array.from({ length: 16 }, () => chunk)));
    expect(stdout.length).toBe(4 * 1024 * 1024);
  });

  async function* endless(onEnd: () => void) {
    try {
      for (;;) yield new Uint8Array(64 * 1024);
    } finally {
      onEnd();
    }
  }

  test("a child that closes stdin and exits with 0 has succeeded; the source is closed", async () => {
    let isClosed = false;
    const { stdout } = await feedChild(
      sh("head -c 5 >/dev/null; echo enough"),
      endless(() => {
        isClosed = true;
      }),
    );
    expect(stdout).toBe("enough\n");
    expect(isClosed).toBe(true);
  });

  test("the exit code decides about a child that closes stdin and continues", async () => {
    await feedChild(
      sh("exec <&-; sleep 0.1; exit 0"),
      endless(() => {}),
    );
    await expect(
      feedChild(
        sh("exec <&-; sleep 0.1; exit 6"),
        endless(() => {}),
      ),
    ).rejects.toMatchObject({
      exitCode: 6,
    });
  });

  test("a child that closes stdin early and fails has failed", async () => {
    const failing = feedChild(
      sh("head -c 5 >/dev/null; echo no such role >&2; exit 1"),
      endless(() => {}),
    );
    await expect(failing).rejects.toMatchObject({ exitCode: 1, stderrTail: "no such role" });
  });

  test("a child that dies while something else holds its stdin open", async () => {
    const failing = feedChild(
      sh("sleep 30 <&0 >/dev/null & echo $! >&2; exit 8"),
      endless(() => {}),
    );
    const error: ChildError = await failing.then(
      () => undefined,
      (thrown) => thrown,
    );
    process.kill(Number(error.stderrTail));
    expect(error.exitCode).toBe(8);
  });

  test.each(["EIO", "EPIPE"])("a source's own %s ends the child and is thrown unchanged", async (code) => {
    const broken = Object.assign(new Error("the network"), { code });
    let pid = 0;
    async function* source() {
      yield Buffer.from("half of it");
      throw broken;
    }
    const file = `/tmp/pg321-stream-test-${process.pid}-${crypto.randomUUID()}`;
    const options = sh(`echo $$ > ${file}; cat > /dev/null; echo complete`);
    await expect(feedChild(options, source())).rejects.toBe(broken);
    pid = Number(
      await Bun.file(file)
        .text()
        .catch(() => "0"),
    );
    await Bun.file(file)
      .delete()
      .catch(() => {});
    if (pid > 0) expect(isGone(pid)).toBe(true);
  });

  test("an abort while the child does not read throws the reason", async () => {
    const abort = new AbortController();
    let yielded = 0;
    async function* source() {
      for (;;) {
        yielded++;
        yield new Uint8Array(1024 * 1024);
      }
    }
    const feeding = feedChild(sh("exec sleep 1000", { signal: abort.signal }), source());
    await waitUntil(() => yielded >= 2);
    abort.abort(new Error("interrupted"));
    await expect(feeding).rejects.toThrow("interrupted");
    expect(yielded).toBeLessThan(5);
  });

  test("an abort while the child works after the last byte", async () => {
    const abort = new AbortController();
    let isOver = false;
    async function* source() {
      yield Buffer.from("x");
      isOver = true;
    }
    const feeding = feedChild(sh("cat; exec sleep 1000", { signal: abort.signal }), source());
    await waitUntil(() => isOver);
    abort.abort(new Error("interrupted"));
    await expect(feeding).rejects.toThrow("interrupted");
  });
});
