import { expect, test } from "bun:test";
import { placeText } from "./connection.ts";

test("a server is named by its socket if a socket is meant", () => {
  expect(placeText({ host: "/run/postgresql", port: 5433 })).toBe("socket /run/postgresql/.s.PGSQL.5433");
  expect(placeText({ host: "db", port: 5432 })).toBe("db:5432");
  expect(placeText({ host: "localhost", port: 5432 })).toBe("localhost:5432");
  expect(placeText({ host: undefined, port: 1 })).toMatch(
    /^localhost:1 \(no host is configured, and there is no socket \.s\.PGSQL\.1 in \/.* or \/tmp\)$/,
  );
});
