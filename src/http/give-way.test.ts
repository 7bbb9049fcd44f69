import { describe, expect, test } from "bun:test";
import { HTTP_CONNECTIONS_MAX, HTTP_REQUESTS_MAX } from "../base/limits.ts";
import { type Held, networkOf, toClose, toGiveWay } from "./give-way.ts";

const held = (network: string, does: Held["does"], sinceMs: number, hasPlace = false): Held => ({
  network,
  does,
  sinceMs,
  hasPlace,
});
const places = (count: number, network: string, sinceMs = 0) =>
  Array.from({ length: count }, (_, index) => held(network, "reads", sinceMs + index, true));

describe("of too many connections", () => {
  test("one that waits for a request is closed before one that has an answer", () => {
    const idle = held("b", "waits", 9);
    expect(toClose([held("a", "works", 0), held("a", "reads", 1), idle, held("a", "reads", 2)])).toBe(idle);
  });
  test("the client with the most loses its oldest", () => {
    const oldest = held("many", "waits", 5);
    expect(toClose([held("one", "waits", 0), held("many", "waits", 6), oldest])).toBe(oldest);
  });
  test("a small answer ends before a large one, and none that is still being made", () => {
    const small = held("a", "reads", 3);
    expect(toClose([held("a", "works", 0), ...places(2, "a"), small])).toBe(small);
    expect(toClose([held("a", "works", 0)])).toBeUndefined();
  });
  test("a client with many of them, also unanswered ones, loses its oldest before one with few loses any", () => {
    const many = Array.from({ length: 200 }, (_, index) => held("many", "works", index));
    const few = held("few", "waits", 300);
    expect(toClose([...many, few])).toBe(many[0]);
    const another = held("many", "waits", 301);
    expect(toClose([...many, few, another])).toBe(another);
    const others = Array.from({ length: 40 }, (_, index) => held("others", "works", index));
    expect(toClose([...others, ...many, few])).toBe(many[0]);
    const small = many.slice(0, HTTP_CONNECTIONS_MAX / 8);
    expect(toClose([...small, few])).toBe(few);
  });
});

describe("if all places are taken", () => {
  test("an answer that is being read gives way after a time, the oldest first", () => {
    const all = places(HTTP_REQUESTS_MAX, "proxy", 10);
    expect(toGiveWay(all, "proxy", 9)).toBeUndefined();
    expect(toGiveWay(all, "proxy", 12)).toBe(all[0]);
    expect(toGiveWay([...all, held("proxy", "works", 0, true)], "proxy", 12)).toBe(all[0]);
  });
  test("a client with more than half of them gives way to another at once", () => {
    const most = places(HTTP_REQUESTS_MAX / 2 + 1, "most", 50);
    const others = places(HTTP_REQUESTS_MAX / 2 - 1, "other", 20);
    expect(toGiveWay([...others, ...most], "new", 0)).toBe(most[0]);
    expect(toGiveWay([...others, ...most], "most", 0)).toBeUndefined();
    expect(toGiveWay([...others, ...most.slice(1)], "new", 0)).toBeUndefined();
  });
});

test("a client is an IPv4 address or an IPv6 network", () => {
  expect(
    [
      undefined,
      "192.0.2.7",
      "::ffff:192.0.2.7",
      "::1",
      "2001:db8:1:2:3:4:5:6",
      "2001:db8:1:2::9",
      "2001:db8::9",
      "fe80::1%eth0",
    ].map(networkOf),
  ).toEqual([
    "",
    "192.0.2.7",
    "192.0.2.7",
    "0:0:0:0::/64",
    "2001:db8:1:2::/64",
    "2001:db8:1:2::/64",
    "2001:db8:0:0::/64",
    "fe80:0:0:0::/64",
  ]);
});
