import { expect, test } from "bun:test";
import { MemberBuffer } from "./member-buffer.ts";

test("small pieces count with the memory that each of them takes", async () => {
  const buffer = new MemberBuffer(2_000, { onChange: () => {}, onRead: () => {} });
  let pieces = 0;
  while (buffer.hasRoom && pieces < 2_000) {
    buffer.push(new Uint8Array(1));
    pieces++;
  }
  expect(pieces).toBe(10);
  expect(buffer.bytes).toBe(10);
  await buffer.next();
  expect(buffer.hasRoom).toBe(true);
  for (let i = 1; i < pieces; i++) await buffer.next();
  let again = 0;
  while (buffer.hasRoom && again < 2_000) {
    buffer.push(new Uint8Array(1));
    again++;
  }
  expect(again).toBe(pieces);
});
