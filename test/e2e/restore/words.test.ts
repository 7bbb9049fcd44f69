import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { Installation, localStorage } from "../../lab/installation.ts";
import { usePostgres } from "../../lab/servers/use-postgres.ts";

setDefaultTimeout(60_000);
const postgres = usePostgres();
let installation: Installation;
let backupId: string;

beforeAll(async () => {
  installation = await Installation.make({
    postgres: postgres.address,
    databases: [await postgres.createDatabase()],
    storages: (directory) => [localStorage("disk", directory)],
  });
  backupId = await installation.backUp();
});
afterAll(() => installation[Symbol.asyncDispose]());

describe("mistakes on the command line: exit 2 with a hint, and nothing is done", () => {
  const target = ["--target", "main/x"];
  test.each([
    ["an unknown id", ["ffffffff", ...target], /no backup's id begins with "ffffffff"\nhint: pg321 list/],
    ["an invalid id", ["nonsense", ...target], /"nonsense" is not a backup's id\nhint: pg321 list/],
    [
      "latest without a database",
      ["latest", ...target],
      /latest needs --database\nhint: pg321 restore latest --database/,
    ],
    [
      "an unknown database",
      ["latest", "-d", "nope", ...target],
      /no database "nope" is known\nhint: .*known: /,
    ],
    ["no target", ["ID"], /--target is missing\nhint: --target SERVER\/DATABASE/],
    [
      "an unknown server",
      ["ID", "--target", "mian/x"],
      /is not SERVER\/DATABASE with a configured server\nhint: .*main\/DATABASE/,
    ],
    [
      "a server without a database",
      ["ID", "--target", "main/"],
      /is not SERVER\/DATABASE with a configured server/,
    ],
    [
      "another kind of URL",
      ["ID", "--target", "mysql://h/d"],
      /target: not a PostgreSQL URL\nhint: write postgres:/,
    ],
    [
      "a misspelt option",
      ["ID", "--tagret", "main/x"],
      /unknown option --tagret\nhint: did you mean --target\?/,
    ],
    [
      "half a session",
      ["ID", ...target, "--jobs", "0.5"],
      /--jobs is "0.5", expected a whole number from 1 to 256/,
    ],
    [
      "a password file for a server",
      ["ID", ...target, "--password-file", "x"],
      /--password-file needs a --target URL\nhint: /,
    ],
    [
      "a missing password file",
      ["ID", "--target", "postgres://h/d", "--password-file", "/none"],
      /cannot be read\nhint: /,
    ],
    [
      "a password file that is not text",
      ["ID", "--target", "postgres://h/d", "--password-file", "/bin/true"],
      /is not UTF-8 text\nhint: /,
    ],
    ["a file and a target", ["ID", "--output", "f", ...target], /--target cannot be used with --output/],
    [
      "a selection for a file",
      ["ID", "--output", "f", "--table", "t"],
      /--table cannot be used with --output.*\nhint: .*pg_restore/,
    ],
    ["two ids", ["ID", "ID"], /unexpected argument/],
  ])("%s", async (_, words, message) => {
    const given = words.map((word) => (word === "ID" ? backupId : word));
    const { exitCode, stderr, stdout } = await installation.run("restore", ...given);
    expect({ exitCode, stdout, stderr }).toMatchObject({ exitCode: 2, stdout: "" });
    expect(stderr).toMatch(message);
  });
});
