import { isIPv6 } from "node:net";
import { HTTP_CONNECTIONS_MAX, HTTP_REQUESTS_MAX } from "../base/limits.ts";

/** What a connection holds while other clients want in. */
export interface Held {
  /** `networkOf` its client. */
  readonly network: string;
  /** It waits for a request, works on the answer, or its client reads the answer. */
  does: "waits" | "works" | "reads";
  /** Since when, by the monotonic clock. */
  sinceMs: number;
  /** Whether its answer takes one of the places. */
  hasPlace: boolean;
}

/**
 * The connection to close because there are too many. First come those that wait for a request (also a slow or an unused
 * one: a request is short, and a client opens another connection), then small answers, then large ones. Among
 * equals the client with the most connections loses one, and of these the oldest. An answer that is still being made is
 * closed only by the last rule: a client with more than an eighth of all places at the door loses its oldest connection
 * before a client with fewer loses any. Otherwise one client could keep out all others while the catalog does not answer.
 */
export function toClose<T extends Held>(all: readonly T[]): T | undefined {
  const counts = countsOf(all);
  const countOf = ({ network }: Held) => counts.get(network) ?? 0;
  const rank = ({ does, hasPlace }: Held) => (does === "waits" ? 0 : hasPlace ? 2 : 1);
  const byCountAndAge = (left: T, right: T) => countOf(right) - countOf(left) || left.sinceMs - right.sinceMs;
  const chosen = all
    .filter(({ does }) => does !== "works")
    .toSorted((left, right) => rank(left) - rank(right) || byCountAndAge(left, right))[0];
  const hasMany = (one: T) => countOf(one) > HTTP_CONNECTIONS_MAX / 8;
  if (chosen === undefined || hasMany(chosen)) return chosen;
  return all.filter(hasMany).toSorted(byCountAndAge)[0] ?? chosen;
}

/**
 * The answer that gives up its place to a client of `network`: among those that are being read, the oldest of the client
 * with the most. It has been read since `beforeMs` or earlier, or its client has more than half of all places and the new
 * one has not. Behind a proxy all clients have one address, and only the time counts.
 */
export function toGiveWay<T extends Held>(
  all: readonly T[],
  network: string,
  beforeMs: number,
): T | undefined {
  const held = all.filter(({ hasPlace }) => hasPlace);
  const counts = countsOf(held);
  const hasMost = (one: string) => (counts.get(one) ?? 0) > HTTP_REQUESTS_MAX / 2;
  return held
    .filter(
      (one) =>
        one.does === "reads" && (one.sinceMs <= beforeMs || (hasMost(one.network) && !hasMost(network))),
    )
    .toSorted(
      (left, right) =>
        (counts.get(right.network) ?? 0) - (counts.get(left.network) ?? 0) || left.sinceMs - right.sinceMs,
    )[0];
}

function countsOf(all: readonly Held[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { network } of all) counts.set(network, (counts.get(network) ?? 0) + 1);
  return counts;
}

/** What counts as one client: an IPv4 address, or the /64 network of an IPv6 address. Empty on a unix socket. */
export function networkOf(address: string | undefined): string {
  if (address === undefined) return "";
  const plain = address.replace(/^::ffff:(?=\d+\.)/i, "");
  if (!isIPv6(plain)) return plain;
  const [head = "", tail] = plain.split("::");
  const groups = (text: string | undefined) => (text ? text.split(":") : []);
  const [before, after] = [groups(head), groups(tail)];
  const zeros = Array(Math.max(0, 8 - before.length - after.length)).fill("0");
  return `${[...before, ...zeros, ...after].slice(0, 4).join(":")}::/64`;
}
