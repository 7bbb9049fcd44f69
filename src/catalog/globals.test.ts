import { expect, test } from "bun:test";
import { backupName, GLOBALS_DATABASE } from "./globals.ts";

/** NAMEDATALEN of PostgreSQL as distributed is 64, with the terminating NUL. */
const NAME_BYTES_MAX = 63;

test("no database can have the name of globals, and the format can hold it", () => {
  expect(Buffer.byteLength(GLOBALS_DATABASE)).toBeGreaterThan(NAME_BYTES_MAX);
  expect(GLOBALS_DATABASE.length).toBeLessThanOrEqual(255);
});

test("people read a short name, which differs from that of a database called so", () => {
  expect(backupName({ server: "main", database: GLOBALS_DATABASE })).toBe("main (globals)");
  expect(backupName({ server: "main", database: "globals" })).toBe("main/globals");
});
