import { expect, test } from "bun:test";
import { hostname } from "node:os";
import { loadToml, MINIMAL } from "../../../test/fixtures/config-file.ts";
import { hostNameOf } from "./fleet.ts";

test("the host of the fleet is the machine unless the config names it", async () => {
  expect((await loadToml(MINIMAL)).fleet).toEqual({
    host: hostname(),
    workers: "own",
    silent_after_ms: 300_000,
  });
  expect((await loadToml(`${MINIMAL}[fleet]\nhost = "web1.example"\n`)).fleet).toEqual({
    host: "web1.example",
    workers: "own",
    silent_after_ms: 300_000,
  });
  expect((await loadToml(`${MINIMAL}[fleet]\nworkers = "any"\n`)).fleet.workers).toBe("any");
  await expect(loadToml(`${MINIMAL}[fleet]\nsilent_after = "1m"\n`)).rejects.toThrow("silent_after");
});

test("a name that a table or a lease could not show is refused", async () => {
  const expected = "expected a name of up to 64 letters, digits, dots, _ and -";
  for (const name of ["", "web 1", "web/1", "-web", "wéb", "web\\n1", "w".repeat(65)])
    await expect(loadToml(`${MINIMAL}[fleet]\nhost = "${name}"\n`)).rejects.toThrow(expected);
});

test("any name of a machine becomes a name of a host", () => {
  expect(hostNameOf("db-1.example.com")).toBe("db-1.example.com");
  expect(hostNameOf("Karl's Rechner")).toBe("Karl-s-Rechner");
  expect(hostNameOf("\u{1b}[31m")).toBe("31m");
  expect(hostNameOf("x".repeat(70))).toBe("x".repeat(64));
  expect(hostNameOf("")).toBe("localhost");
});
