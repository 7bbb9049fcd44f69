import { expect, test } from "bun:test";
import { Secret } from "../../src/base/secret.ts";
import { connect, type Endpoint, endpointOfUrl } from "../../src/postgres/connection.ts";
import { usePostgres } from "../lab/servers/use-postgres.ts";

const postgres = usePostgres();

test("what may help besides another password is named only to who has it", async () => {
  const hintOf = (change: Partial<Endpoint>) =>
    connect({
      ...endpointOfUrl(postgres.url("postgres")),
      password: new Secret("wrong"),
      ...change,
    }).catch(({ hint }) => hint);
  const passwordHint = "log in as another role";
  expect(await hintOf({})).toMatch(/^check user and password; [^;]*$/);
  expect(await hintOf({ passwordHint })).toMatch(/^check user and password; [^;]*; log in as another role$/);
});
