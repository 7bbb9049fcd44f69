import { expect, test } from "bun:test";
import { ManualClock } from "../../../test/lab/manual-clock.ts";
import { Pg321Error } from "../../base/errors.ts";
import { watched } from "./watched.ts";

function start(frame: (columns: number) => Promise<string>, size = { columns: 20, rows: 5 }) {
  const written: string[] = [];
  const clock = new ManualClock();
  const ended = new AbortController();
  const screen = { write: (text: string) => void written.push(text), size: () => size };
  const options = { screen, title: "title", intervalMs: 2000, clock, signal: ended.signal };
  return { written, clock, size, ended, watching: watched(options, frame) };
}

const interrupted = new Pg321Error("interrupted", "interrupted by hand");

test("a frame is drawn every two seconds, and Ctrl-C leaves the terminal as it was", async () => {
  let frames = 0;
  const { written, clock, ended, watching } = start(async () => `frame ${++frames}`);
  await clock.advance(0);
  await clock.advance(2000);
  ended.abort(interrupted);
  await watching;
  expect(written).toEqual([
    "\u001b[?1049h\u001b[?25l",
    "\u001b[Htitle\u001b[K\r\n\u001b[K\r\nframe 1\u001b[K\u001b[J",
    "\u001b[Htitle\u001b[K\r\n\u001b[K\r\nframe 2\u001b[K\u001b[J",
    "\u001b[?25h\u001b[?1049l",
  ]);
});

test("a signal that is not a person's is an error, after the terminal is as it was", async () => {
  const { written, clock, ended, watching } = start(async () => "");
  await clock.advance(0);
  ended.abort(new Pg321Error("terminated", "ended by SIGTERM"));
  expect(await watching.catch((error) => error.code)).toBe("terminated");
  expect(written.at(-1)).toBe("\u001b[?25h\u001b[?1049l");
});

test("what does not fit is cut, also after the window became smaller", async () => {
  const text = Array.from({ length: 9 }, (_, index) => `line ${index} that is rather long`).join("\n");
  const { written, clock, size, ended, watching } = start(async () => text);
  await clock.advance(0);
  expect(written.at(-1)).toContain("line 1 that is rath…");
  expect(written.at(-1)).toEndWith("… 7 more lines\u001b[K\u001b[J");
  size.columns = 10;
  await clock.advance(2000);
  expect(written.at(-1)).toContain("line 1 th…");
  ended.abort(interrupted);
  await watching;
});

test("the first error ends it before anything is drawn, a later one is shown", async () => {
  const failing = start(async () => {
    throw new Error("no catalog");
  });
  expect(await failing.watching.catch((error) => error.message)).toBe("no catalog");
  expect(failing.written).toEqual([]);
  let frames = 0;
  const { written, clock, ended, watching } = start(async () => {
    if (++frames === 2) throw new Error("busy\u001b[2J");
    return `frame ${frames}`;
  });
  await clock.advance(0);
  await clock.advance(2000);
  expect(written.at(-1)).toContain("error: busy�[2J");
  await clock.advance(2000);
  expect(written.at(-1)).toContain("frame 3");
  ended.abort(interrupted);
  await watching;
});
